"""The chart's history: pages on scroll, dates, ranges, zones, a symbol to compare with; the address has all of it."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Error, Route, expect

from finance_lake.lake import Lake
from tests.support.live_dashboard import LiveLake, looking_at, tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
DAYS = 3
MINUTES = 300


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LiveLake:
    """Make a lake of three days with five hours of minutes each, a night between two."""
    lake, end = LiveLake(tmp_path_factory.mktemp("days") / "data"), datetime.now(UTC)
    for day in reversed(range(DAYS)):
        times = [end - timedelta(days=day, minutes=before) for before in range(MINUTES, 0, -1)]
        rows = [tick(symbol, f"{170 + at.minute / 10:.2f}", at, 5) for at in times for symbol in ("AAPL", "MSFT")]
        lake.add(rows, end - timedelta(days=day))
    return lake


def view(page: Page) -> tuple[float, float]:
    begin, end = (page.locator("#candles").get_attribute("data-view") or "0 0").split()
    return float(begin), float(end)


def wait_for_view(page: Page) -> None:
    page.wait_for_selector('#candles[data-state=""]:not([data-bars="0"])')
    page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")


@pytest.fixture
def minutes(browser: Browser, address: str) -> Iterator[Page]:
    with looking_at(address, browser) as page:
        page.get_by_label("Bars of 1m").check(force=True)
        expect(page.locator("#candles")).to_have_attribute("data-size", "1m")
        yield page


def test_older_bars_load_on_scroll_as_far_as_the_table_goes(minutes: Page, lake: LiveLake) -> None:
    chart = minutes.locator("#candles")
    expect(chart).to_have_attribute("data-bars", re.compile("^[3-7]00$"))  # a slow machine sends less at once
    expect(chart).to_have_attribute("data-older", "true")
    chart.hover()
    for _ in range(100):
        if chart.get_attribute("data-older") == "false":
            break
        minutes.mouse.wheel(-600, 0)
        minutes.wait_for_timeout(50)
    expect(chart).to_have_attribute("data-bars", str(DAYS * MINUTES))
    expect(chart).to_have_attribute("data-breaks", str(DAYS - 1))
    before = chart.get_attribute("data-oldest")
    newest = lake.add([tick("AAPL", "180.5", datetime.now(UTC), 1)])
    expect(chart).to_have_attribute("data-version", str(newest))
    expect(chart).to_have_attribute("data-close", "180.50")
    assert chart.get_attribute("data-oldest") == before, "a commit dropped the history"
    newest = lake.add([tick("AAPL", "180.25", datetime.now(UTC) - timedelta(minutes=2), 1)])  # late: bars are fetched again
    expect(chart).to_have_attribute("data-version", str(newest))
    assert chart.get_attribute("data-oldest") == before, "a late tick dropped the history"


def test_a_date_is_gone_to_and_newer_bars_load_on_scroll(minutes: Page, lake: LiveLake) -> None:
    chart, wanted = minutes.locator("#candles"), datetime.now(UTC) - timedelta(days=DAYS - 1, minutes=200)
    minutes.keyboard.press("g")
    expect(minutes.get_by_label("Go to date")).to_be_focused()
    minutes.get_by_label("Go to date").fill(f"{wanted:%Y-%m-%dT%H:%M}")
    expect(minutes).to_have_url(re.compile(rf"range={wanted:%Y-%m-%dT%H}"))
    expect(chart).to_have_attribute("data-oldest", re.compile(r"\d"))
    minutes.reload()
    wait_for_view(minutes)
    begin, end = view(minutes)
    assert begin < 120 < end, "the date is not in view"
    chart.hover()
    for _ in range(100):
        if chart.get_attribute("data-newer") == "false" and view(minutes)[1] >= int(chart.get_attribute("data-bars") or 0) - 1:
            break
        minutes.mouse.wheel(800, 0)
        minutes.wait_for_timeout(50)
    expect(chart).to_have_attribute("data-newer", "false")
    newest = lake.add([tick("AAPL", "181.5", datetime.now(UTC), 1)])
    expect(chart).to_have_attribute("data-version", str(newest))
    expect(chart).to_have_attribute("data-close", "181.50")
    minutes.keyboard.press("Escape")
    expect(minutes).not_to_have_url(re.compile("range="))


def test_ranges_and_the_scrolled_view_are_in_the_address(minutes: Page) -> None:
    chart = minutes.locator("#candles")
    minutes.get_by_role("button", name="5D").click()
    expect(chart).to_have_attribute("data-size", "15m")
    expect(minutes.get_by_role("button", name="5D")).to_have_attribute("aria-pressed", "true")
    expect(minutes).to_have_url(re.compile("range=5D"))
    minutes.get_by_role("button", name="1D").click()
    expect(chart).to_have_attribute("data-size", "5m")
    wait_for_view(minutes)
    chart.hover()
    minutes.mouse.wheel(0, -300)
    expect(minutes).to_have_url(re.compile(r"range=\d{2}"))
    expect(minutes.get_by_role("button", name="1D")).to_have_attribute("aria-pressed", "false")
    before = view(minutes)
    minutes.reload()
    wait_for_view(minutes)
    begin, end = view(minutes)
    assert end - begin == pytest.approx(before[1] - before[0], abs=6)


def test_times_are_shown_in_a_chosen_zone(minutes: Page) -> None:
    legend = minutes.locator("#legend")
    before = legend.inner_text()
    minutes.get_by_label("Time zone").select_option("Asia/Tokyo")
    moved = datetime.strptime(f"2026 {before[:11]}", "%Y %m-%d %H:%M") + timedelta(hours=9)  # noqa: DTZ007
    chart = minutes.locator("#candles")
    expect(legend).to_have_text(re.compile(rf"^{moved:%m-%d %H:%M}"))
    expect(minutes).to_have_url(re.compile("tz=Asia%2FTokyo"))
    minutes.reload()
    minutes.wait_for_selector('#candles:not([data-bars="0"])')
    expect(minutes.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    wanted = f"{datetime.now(UTC) - timedelta(days=1, minutes=100) + timedelta(hours=9):%Y-%m-%dT%H:%M}"
    minutes.get_by_label("Go to date").fill(wanted)
    expect(minutes).to_have_url(re.compile(rf"range={datetime.now(UTC) - timedelta(days=1, minutes=100):%Y-%m-%d}"))
    expect(chart).to_have_attribute("data-state", "")


def test_two_symbols_are_compared(minutes: Page, lake: LiveLake) -> None:
    chart = minutes.locator("#candles")
    minutes.get_by_label("Compare with").select_option("MSFT")
    expect(chart).to_have_attribute("data-compare", "MSFT")
    expect(chart).to_have_attribute("data-compared", chart.get_attribute("data-bars") or "")
    newest = lake.add([tick("AAPL", "180.5", datetime.now(UTC)), tick("MSFT", "190.5", datetime.now(UTC))])
    expect(chart).to_have_attribute("data-version", str(newest))
    expect(minutes).to_have_url(re.compile("compare=MSFT"))
    minutes.reload()
    expect(chart).to_have_attribute("data-compare", "MSFT")
    minutes.get_by_label("Compare with").select_option("")
    expect(chart).to_have_attribute("data-compare", "")


def test_an_earlier_version_is_in_the_address(minutes: Page) -> None:
    minutes.get_by_label("Version of the table").fill("2")
    expect(minutes).to_have_url(re.compile("as_of=2"))
    minutes.reload()
    expect(minutes.locator("#candles")).to_have_attribute("data-version", "2")
    expect(minutes.locator("#when")).to_contain_text("version 2, ")
    minutes.keyboard.press("Escape")
    expect(minutes).not_to_have_url(re.compile("as_of="))


def test_the_watch_list_is_sorted_and_has_lines_and_ages(minutes: Page, lake: LiveLake) -> None:
    names = minutes.locator("#watch tbody th")
    expect(minutes.locator("#watch [data-symbol=AAPL] polyline")).to_have_count(1)
    expect(minutes.locator("#watch [data-symbol=MSFT] .age")).to_have_text(re.compile(r"\d (s|min|h)$"))
    lake.add([tick("MSFT", "300", datetime.now(UTC), 1)])
    minutes.get_by_role("button", name="%").click()
    expect(names.first).to_have_text("MSFT")
    expect(minutes.locator("#watch [aria-sort=descending]")).to_have_text("%")
    expect(minutes).to_have_url(re.compile("sort=-percent"))
    minutes.get_by_role("button", name="%").click()
    expect(names.first).to_have_text("AAPL")


def test_a_failed_chart_says_why_and_can_be_tried_again(minutes: Page) -> None:
    minutes.route("**/api/bars*", lambda route: route.fulfill(status=500, json={"error": "the disk is on fire"}))
    minutes.get_by_label("Bars of 5m").check(force=True)
    expect(minutes.locator("#failure")).to_have_text("the disk is on fire")
    minutes.unroute("**/api/bars*")
    minutes.locator("#retry").evaluate("button => button.click()")  # it goes when the page itself has tried again
    expect(minutes.locator("#candles")).to_have_attribute("data-size", "5m")
    expect(minutes.locator("#again")).to_be_hidden()


def test_line_and_averages_are_in_the_address(minutes: Page) -> None:
    chart = minutes.locator("#candles")
    minutes.get_by_label("Line").check()
    minutes.get_by_label("VWAP, MA 20, MA 50").check()
    expect(minutes).to_have_url(re.compile("kind=line&averages=on"))
    minutes.reload()
    minutes.wait_for_selector('#candles:not([data-bars="0"])')
    expect(chart).to_have_attribute("data-kind", "line")
    expect(chart).to_have_attribute("data-averaged", "true")
    minutes.get_by_label("Line").uncheck()
    expect(chart).to_have_attribute("data-kind", "candles")


def test_averages_have_the_values_that_python_computes(minutes: Page, lake: LiveLake) -> None:
    chart = minutes.locator("#candles")
    minutes.get_by_label("VWAP, MA 20, MA 50").check()
    minutes.get_by_role("button", name="5D").click()
    expect(chart).to_have_attribute("data-size", "15m")
    expect(chart).to_have_attribute("data-older", "false")
    bars = Lake(lake.paths.root).bars("15m", "AAPL").rows()
    closes = [bar["close"] for bar in bars]
    expect(chart).to_have_attribute("data-short", f"{sum(closes[-20:]) / 20:.4f}")
    expect(chart).to_have_attribute("data-long", f"{sum(closes[-50:]) / 50:.4f}")
    for zone in ("Asia/Tokyo", "UTC"):
        minutes.get_by_label("Time zone").select_option(zone)
        day = bars[-1]["ts"].astimezone(ZoneInfo(zone)).date()
        today = [bar for bar in bars if bar["ts"].astimezone(ZoneInfo(zone)).date() == day]
        vwap = sum(bar["vwap"] * bar["volume"] for bar in today) / sum(bar["volume"] for bar in today)
        expect(chart).to_have_attribute("data-vwap", f"{vwap:.4f}")


def test_a_chart_that_loads_says_so(minutes: Page) -> None:
    chart, held = minutes.locator("#candles"), list[Route]()
    expect(chart).to_have_attribute("data-older", "true")
    minutes.route("**/api/bars*", lambda route: held.append(route))  # noqa: PLW0108 (Playwright takes no built-in)
    chart.hover()
    steps: list[tuple[str, str, Callable[[], None]]] = [
        ("loading", "loading older bars", lambda: minutes.mouse.wheel(-3000, 0)),
        ("opening", "loading bars", lambda: minutes.get_by_label("Bars of 5m").check(force=True)),
    ]
    for state, text, begin in steps:
        begin()
        expect(chart).to_have_attribute("data-state", state)
        assert chart.evaluate("chart => getComputedStyle(chart, '::after').content") == f'"{text}"'
    minutes.unroute("**/api/bars*")
    for route in held:
        with suppress(Error):  # the page has cancelled the first
            route.continue_()
    expect(chart).to_have_attribute("data-state", "")
    assert chart.evaluate("chart => getComputedStyle(chart, '::after').content") == "none"


def test_a_symbol_is_found_with_a_slash(minutes: Page) -> None:
    minutes.keyboard.press("/")
    minutes.keyboard.type("ms")
    expect(minutes.locator("#watch [data-symbol=AAPL]")).to_be_hidden()
    minutes.keyboard.press("Enter")
    expect(minutes.locator("#candles")).to_have_attribute("data-symbol", "MSFT")
    expect(minutes.locator("#watch [data-symbol=AAPL]")).to_be_visible()


def test_the_watch_list_has_the_volume_and_the_change_since_the_previous_close(minutes: Page) -> None:
    row = minutes.locator("#watch [data-symbol=MSFT]")
    expect(row.locator(".volume")).not_to_have_text("")
    expect(row.locator(".change")).to_have_attribute("title", re.compile("since the previous close, 17"))
