"""The chart's history: older bars load on scroll, gaps are drawn, the choices are in the address, and symbols can be found."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.support.live_dashboard import LiveLake, looking_at, tick

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def minutes(browser: Browser, address: str) -> Iterator[Page]:
    with looking_at(address, browser) as page:
        page.get_by_label("Bars of 1m").check(force=True)
        expect(page.locator("#candles")).to_have_attribute("data-size", "1m")
        yield page


def test_older_bars_load_on_scroll_as_far_as_the_table_goes(minutes: Page, lake: LiveLake) -> None:
    chart = minutes.locator("#candles")
    expect(chart).to_have_attribute("data-bars", "500")
    expect(chart).to_have_attribute("data-older", "true")
    expect(chart).to_have_attribute("data-breaks", "1")
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


def test_a_query_is_in_the_address_and_can_be_cancelled(minutes: Page) -> None:
    minutes.keyboard.press("2")
    minutes.get_by_label("SQL query").fill(
        "SELECT count(*) FROM range(100000000000) AS a(x), range(1000) AS b(y) WHERE x + y = -1"
    )
    minutes.get_by_role("button", name="Run").click()
    minutes.get_by_role("button", name="Cancel").click()
    expect(minutes.locator("#told")).to_have_text("cancelled")
    minutes.get_by_label("SQL query").fill("SELECT 41 + 1 AS answer")
    minutes.get_by_role("button", name="Run").click()
    expect(minutes.locator("#result td")).to_have_text("42", timeout=30_000)  # a new process starts
    expect(minutes).to_have_url(re.compile("q=SELECT"))
    minutes.reload()
    expect(minutes.get_by_label("SQL query")).to_have_value("SELECT 41 + 1 AS answer")
