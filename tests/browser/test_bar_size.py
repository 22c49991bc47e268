"""The first chart is full: bars of a size that fits the data, until the user chooses another one."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.live_dashboard import LiveLake, looking_at, serving, tick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
FULL = 0.85  # of the width


def lake_of(folder: Path, seconds: int, step: int, *, ago: int = 0) -> LiveLake:
    """Make a lake whose ticks of two symbols, `step` seconds apart, end `ago` seconds ago."""
    lake = LiveLake(folder)
    add(lake, seconds, step, ago=ago)
    return lake


def add(lake: LiveLake, seconds: int, step: int, *, ago: int = 0) -> int:
    end = datetime.now(UTC) - timedelta(seconds=ago)
    times = [end - timedelta(seconds=before) for before in range(seconds, -1, -step)]
    return lake.add(
        [tick(symbol, f"{170 + number % 9}.5", at) for number, at in enumerate(times) for symbol in ("AAPL", "MSFT")]
    )


def size(page: Page) -> str | None:
    return page.locator("#candles").get_attribute("data-size")


def view(page: Page) -> tuple[float, float]:
    """Return the first and the last visible place; a bar is 1 wide, the oldest is at 0."""
    begin, end = (page.locator("#candles").get_attribute("data-view") or "0 0").split()
    return float(begin), float(end)


def await_full(page: Page) -> None:
    """Wait until all bars are visible and take most of the width."""

    def is_full() -> bool:
        (begin, end), bars = view(page), int(page.locator("#candles").get_attribute("data-bars") or 0)
        return begin <= 0 < bars <= end + 1 and bars / (end - begin) > FULL

    wait_for(page, is_full)


def wait_for(page: Page, holds: Callable[[], bool]) -> None:
    for _ in range(100):
        if holds():
            return
        page.wait_for_timeout(50)
    raise AssertionError(page.locator("#candles").evaluate("node => JSON.stringify(node.dataset)"))


def expect_settled(page: Page, at: str) -> None:
    """Expect that the page asks for this size, and no longer for an automatic one."""
    expect(page.locator("[data-panel=bars]")).to_have_attribute("href", re.compile(f"size={at}"))
    assert size(page) == at


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LiveLake:
    """Make the lake of `page`: an hour of ticks."""
    return lake_of(tmp_path_factory.mktemp("hour") / "data", 3600, 5)


def test_an_hour_opens_with_a_full_chart_of_minutes(page: Page) -> None:
    expect(page.get_by_label("Bars of 1m")).to_be_checked()
    assert size(page) == "1m"
    await_full(page)
    assert "size=" not in page.url, "an automatic size would become a choice when the page is reloaded"


@pytest.mark.parametrize(
    ("seconds", "step", "fits"), [(100, 1, "1s"), (1200, 5, "10s"), (86_400, 120, "15m"), (864_000, 1800, "1h")]
)
def test_the_size_fits_the_span(browser: Browser, tmp_path: Path, seconds: int, step: int, fits: str) -> None:
    lake = lake_of(tmp_path / "data", seconds, step)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        assert size(page) == fits
        if seconds < 864_000:  # 240 bars do not fit
            await_full(page)


def test_a_choice_survives_a_reload_and_another_visit(page: Page, address: str) -> None:
    page.get_by_label("Bars of 5m").check(force=True)
    expect(page.locator("#candles")).to_have_attribute("data-size", "5m")
    for _ in range(2):
        expect(page).to_have_url(re.compile("size=5m"))
        page.reload()
        page.wait_for_selector('#candles:not([data-bars="0"])')
        assert size(page) == "5m"
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    assert size(page) == "5m"


def test_the_address_overrules_the_choice_of_this_browser(page: Page, address: str) -> None:
    page.get_by_label("Bars of 5m").check(force=True)
    expect(page.locator("#candles")).to_have_attribute("data-size", "5m")
    page.goto(f"{address}?symbol=MSFT&size=10s")
    page.wait_for_selector('#candles:not([data-bars="0"])')
    assert size(page) == "10s"


def test_another_symbol_keeps_the_size(page: Page) -> None:
    for chosen in ("1m", "10s"):
        if chosen != "1m":
            page.get_by_label(f"Bars of {chosen}").check(force=True)
        for symbol in ("MSFT", "AAPL"):
            page.get_by_label("Symbol", exact=True).select_option(symbol)
            expect(page.locator("#candles")).to_have_attribute("data-symbol", symbol)
            assert size(page) == chosen


def test_a_lake_that_is_filling_up_is_fitted_until_it_is_current(browser: Browser, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "data", 60, 1, ago=3540)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        assert size(page) == "1s"
        add(lake, 3300, 60, ago=100)  # few ticks, so that the page needs not fetch its bars again
        expect(page.locator("#candles")).to_have_attribute("data-size", "1m")
        add(lake, 99, 1)
        expect(page.locator("#candles")).to_have_attribute("data-version", str(lake.version))
        expect_settled(page, "1m")
        await_full(page)


def test_a_size_stays_when_the_lake_grows_out_of_it(browser: Browser, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "data", 100, 1)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        expect_settled(page, "1s")
        for _ in range(2):
            newest = add(lake, 86_400, 600)
            expect(page.locator("#candles")).to_have_attribute("data-version", str(newest))
            expect_settled(page, "1s")


def test_a_young_chart_stays_full_while_it_grows_until_the_user_moves_it(browser: Browser, tmp_path: Path) -> None:
    lake = lake_of(tmp_path / "data", 30, 1)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        chart = page.locator("#candles")
        for _ in range(3):
            at = datetime.now(UTC) + timedelta(seconds=5 * lake.version)
            expect(chart).to_have_attribute("data-version", str(lake.add([tick("AAPL", "171", at)])))
            await_full(page)
        before = view(page)
        chart.hover()
        page.mouse.wheel(0, -400)
        wait_for(page, lambda: view(page) != before)
        newest = lake.add([tick("AAPL", "172", datetime.now(UTC) - timedelta(seconds=20))])  # late: bars are fetched again
        begin, end = view(page)
        expect(chart).to_have_attribute("data-version", str(newest))
        later_begin, later_end = view(page)
        assert later_end - later_begin == pytest.approx(end - begin, abs=0.2)
        assert end - begin < before[1] - before[0]
