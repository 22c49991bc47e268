"""The pages beside the chart: SQL and the quarantine; and all pages on a narrow screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.support.live_dashboard import LiveLake

pytestmark = pytest.mark.browser
STARTS_MS = 30_000  # a new process runs the query


@pytest.fixture
def sql(page: Page) -> Page:
    page.keyboard.press("2")
    expect(page.locator("#schema summary")).to_have_text(["ticks", "quarantine", "bars_1m", "latest"])
    return page


def ask(page: Page, query: str) -> None:
    page.get_by_label("SQL query").fill(query)
    page.get_by_role("button", name="Run").click()


def test_a_query_is_in_the_address_and_can_be_cancelled(sql: Page) -> None:
    sql.get_by_label("SQL query").fill("SELECT count(*) FROM range(100000000000) AS a(x), range(1000) AS b(y) WHERE x + y = -1")
    sql.get_by_role("button", name="Run").click()
    sql.get_by_role("button", name="Cancel").click()
    expect(sql.locator("#told")).to_have_text("cancelled")
    sql.get_by_label("SQL query").fill("SELECT 41 + 1 AS answer")
    sql.get_by_role("button", name="Run").click()
    expect(sql.locator("#result td")).to_have_text("42", timeout=30_000)  # a new process starts
    expect(sql).to_have_url(re.compile("q=SELECT"))
    sql.reload()
    expect(sql.get_by_label("SQL query")).to_have_value("SELECT 41 + 1 AS answer")


def test_a_query_is_completed_from_the_schema(sql: Page) -> None:
    query = sql.get_by_label("SQL query")
    query.fill("")
    query.press_sequentially("SELECT sym")
    expect(sql.locator("#offers [aria-selected=true]")).to_have_text("symbol")
    query.press("Tab")
    query.press_sequentially(" FROM ticks ORDER BY ts_")
    query.press("ArrowDown")
    query.press("Tab")
    expect(query).to_have_value("SELECT symbol FROM ticks ORDER BY ts_event_nanos")
    query.press_sequentially(", ")
    sql.locator("#schema").get_by_title("Insert size").first.click()
    expect(query).to_have_value("SELECT symbol FROM ticks ORDER BY ts_event_nanos, size")


def test_earlier_queries_come_back_and_numbers_are_grouped(sql: Page) -> None:
    for query in ("SELECT 1234567 AS n, 98765.4321 AS d", "SELECT 2 AS n"):
        ask(sql, query)
        expect(sql.locator("#result tbody tr")).to_have_count(1, timeout=STARTS_MS)
        if "AS d" in query:
            expect(sql.locator("#result td")).to_have_text(["1,234,567", "98,765.4321"], timeout=STARTS_MS)
    expect(sql.locator("#result td")).to_have_text(["2"], timeout=STARTS_MS)
    sql.get_by_label("SQL query").press("Control+ArrowUp")
    expect(sql.get_by_label("SQL query")).to_have_value("SELECT 1234567 AS n, 98765.4321 AS d")
    sql.reload()  # the query ran here before, so it runs again
    expect(sql.locator("#result td")).to_have_text(["2"], timeout=STARTS_MS)
    expect(sql.locator("#past option")).to_have_count(3)


def test_cells_do_not_wrap_and_errors_are_monospaced(sql: Page) -> None:
    ask(sql, "SELECT repeat('long  text ', 40) AS words")
    cell = sql.locator("#result td")
    expect(cell).to_contain_text("long  text", timeout=STARTS_MS)
    assert cell.evaluate("cell => getComputedStyle(cell).whiteSpace") == "pre"
    assert cell.evaluate("cell => cell.getBoundingClientRect().height") < 40, "the cell has more than one line"
    ask(sql, "SELECT nothing FROM nowhere")
    expect(sql.locator("#told")).to_have_attribute("data-state", "bad", timeout=STARTS_MS)
    assert sql.locator("#told").evaluate("told => getComputedStyle(told).fontFamily").endswith("monospace")


def test_a_result_is_drawn(sql: Page) -> None:
    ask(sql, "SELECT symbol, ts, close FROM bars_1m ORDER BY ts")
    sql.get_by_role("checkbox", name="Chart").check(timeout=STARTS_MS)
    expect(sql.locator("#plot")).to_have_attribute("data-lines", "7", timeout=STARTS_MS)
    ask(sql, "SELECT symbol, count(*) AS n FROM ticks GROUP BY ALL")
    expect(sql.locator("#plot rect")).to_have_count(7, timeout=STARTS_MS)
    ask(sql, "SELECT 1 AS n")
    expect(sql.locator("#plot")).to_be_hidden(timeout=STARTS_MS)


def test_the_quarantine_is_shown_over_time_with_commands(page: Page, lake: LiveLake) -> None:
    lake.add([b"no JSON", b"none either", b'{"symbol": "AAPL", "price": "1"}'])
    page.keyboard.press("3")
    rows = page.locator("#reasons tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("make redrive REASON=not_json")
    expect(page.locator("#timeline rect")).to_have_count(2)
    page.get_by_label("Reason", exact=True).select_option("price_type")
    expect(page).to_have_url(re.compile("reason=price_type"))
    page.reload()
    expect(page.locator("#records tbody tr")).to_have_count(1)


def test_no_page_is_wider_than_a_narrow_screen(browser: Browser, address: str, lake: LiveLake) -> None:  # noqa: ARG001
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    for key in "1234":
        page.keyboard.press(key)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, key
    page.close()
