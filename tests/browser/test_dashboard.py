"""The dashboard in a browser, checked by text and data attributes, not pixels."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from playwright.sync_api import expect

from tests.support.live_dashboard import SYMBOLS, LiveLake, looking_at, serving, tick

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.browser
HOSTILE = [
    b'<img src=x onerror="document.title=1">',
    b'{"symbol": "<script>document.title=1</script>", "price": 1}',
]
STATEMENT = "SELECT '<img src=x onerror=document.title=1>' AS \"<b>bold</b>\", count(*) AS n FROM ticks"


def candles(page: Page) -> dict[str, Any]:
    """Return the chart's state from its data attributes."""
    chart = page.locator("#candles")
    state = {name: chart.get_attribute(f"data-{name}") for name in ("symbol", "version", "bars", "ticks", "newest")}
    return {**state, "newest": json.loads(state["newest"] or "null")}


def await_version(page: Page, version: int) -> None:
    expect(page.locator("#candles")).to_have_attribute("data-version", str(version))


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def grown(folder: Path) -> LiveLake:
    """Make a separate lake, versions 1 to 3, for a test that damages it."""
    lake = LiveLake(folder / "data")
    for price in ("174", "175", "176"):
        move(lake, price)
    return lake


def idle(lake: LiveLake, newest: int) -> None:
    """Add versions that change nothing."""
    empty = json.dumps({"commitInfo": {"timestamp": 1_764_000_000_000, "operation": "nothing"}})
    for version in range(lake.version + 1, newest + 1):
        entry(lake, version).write_text(empty)


def entry(lake: LiveLake, version: int) -> Path:
    return lake.paths.ticks / "_delta_log" / f"{version:020d}.json"


def move(lake: LiveLake, price: str, symbol: str = "AAPL") -> int:
    return lake.add([tick(symbol, price, datetime.now(UTC), 5)])


def test_candles_move_as_commits_land(page: Page, lake: LiveLake) -> None:
    before, version, rows = int(candles(page)["ticks"]), lake.version, int(page.locator("[data-of=rows]").inner_text())
    for number, price in enumerate(("180.25", "190.5", "170.125"), start=1):
        await_version(page, move(lake, price))
        assert int(candles(page)["ticks"]) == before + number
        expect(page.locator("#watch [data-symbol=AAPL] .last")).to_have_text(price.ljust(6, "0"))
    expect(page.locator("[data-of=version]")).to_have_text(str(version + 3))
    expect(page.locator("[data-of=rows]")).to_have_text(str(rows + 3))


def test_followed_candles_equal_reloaded_ones(page: Page, lake: LiveLake) -> None:
    page.get_by_label("Bars of 1m").check(force=True)
    expect(page).to_have_url(re.compile("size=1m"))
    for number in range(8):
        move(lake, f"{170 + number * 1.5:.3f}")
        move(lake, f"{410 - number}", "MSFT")
    newest = lake.add([tick("AAPL", "1.5", datetime.now(UTC) - timedelta(minutes=2), 3)])  # late
    await_version(page, newest)
    followed = candles(page)
    page.reload()
    await_version(page, newest)
    loaded = candles(page)
    assert (followed["bars"], followed["ticks"]) == (loaded["bars"], loaded["ticks"])
    assert {**loaded["newest"], **followed["newest"]} == loaded["newest"]


def test_volumes_are_added_exactly_until_they_are_too_large(page: Page, lake: LiveLake) -> None:
    for size in (2**53, 1, 2**62):  # all within one bar of a day
        await_version(page, lake.add([tick("NVDA", "135", datetime.now(UTC), size)]))
    page.goto(f"{page.url.partition('?')[0]}?symbol=NVDA&size=1d")
    expect(page.locator("#candles")).to_have_attribute("data-symbol", "NVDA")
    before = int(candles(page)["newest"]["volume"])
    assert before > 2**62
    await_version(page, lake.add([tick("NVDA", "136", datetime.now(UTC), 3)]))
    assert candles(page)["newest"]["volume"] == str(before + 3)
    await_version(page, lake.add([tick("NVDA", "137", datetime.now(UTC), 2**62)]))
    assert candles(page)["newest"]["volume"] is None
    expect(page.locator("#legend")).to_contain_text("V \N{EN DASH}")


def test_the_pickers_change_symbol_and_bar_size(page: Page) -> None:
    page.get_by_label("Symbol", exact=True).select_option("META")
    expect(page.locator("#candles")).to_have_attribute("data-symbol", "META")
    expect(page.locator("#candles")).to_have_attribute("data-bars", "3")
    page.get_by_label("Bars of 1d").check(force=True)
    expect(page.locator("#candles")).to_have_attribute("data-bars", re.compile("^[12]$"))
    page.get_by_role("button", name="Show TSLA").click()
    expect(page.locator("#candles")).to_have_attribute("data-symbol", "TSLA")
    assert "symbol=TSLA&size=1d" in page.url


def test_keyboard_shortcuts(page: Page) -> None:
    page.keyboard.press("j")
    expect(page.locator("#candles")).to_have_attribute("data-symbol", "AMZN")
    page.get_by_label("Bars of 1m").check(force=True)
    page.keyboard.press("]")
    expect(page.get_by_label("Bars of 5m")).to_be_checked()
    page.keyboard.press("2")
    expect(page.get_by_label("SQL query")).to_be_visible()
    page.get_by_label("SQL query").fill("SELECT 41 + 1 AS answer")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result td")).to_have_text("42")


def test_time_travel_shows_an_earlier_version_until_back_to_now(page: Page, lake: LiveLake) -> None:
    slider = page.get_by_label("Version of the table")
    slider.fill("1")
    await_version(page, 1)
    expect(page.locator("[data-of=rows]")).to_have_text(str(len(SYMBOLS)))
    expect(page.locator("#watch [data-symbol=AAPL] .last")).to_have_text("174.50")
    assert candles(page)["bars"] == "1"
    newest = move(lake, "180")
    expect(page.locator("body")).to_have_attribute("data-version", str(newest))
    assert candles(page)["version"] == "1", "a commit changed the earlier version"
    page.get_by_role("button", name="Back to now").click()
    await_version(page, newest)
    expect(page.locator("#watch [data-symbol=AAPL] .last")).to_have_text("180.00")


def go_to_version_2_then_to_no_time(page: Page) -> None:
    as_of = page.get_by_label("Version, or time in UTC")
    as_of.fill("2")
    as_of.press("Enter")
    await_version(page, 2)
    as_of.fill("yesterday")
    as_of.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is not a time")


def test_time_travel_accepts_a_version_and_reports_an_invalid_time(page: Page, lake: LiveLake) -> None:
    go_to_version_2_then_to_no_time(page)
    page.keyboard.press("Escape")
    await_version(page, lake.version)


def test_a_late_answer_does_not_clear_another_error(page: Page, lake: LiveLake) -> None:  # noqa: ARG001 (versions to travel to)
    held: list[Route] = []
    page.route("**/api/latest?as_of=2", lambda route: held.append(route))  # noqa: PLW0108 (a built-in has no signature)
    go_to_version_2_then_to_no_time(page)
    answer = held[0].fetch().json()
    held[0].fulfill(json={**answer, "symbols": answer["symbols"][:1]})
    expect(page.locator("#watch [data-symbol]")).to_have_count(1)
    expect(page.get_by_role("alert")).to_contain_text("is not a time")
    page.keyboard.press("Escape")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_an_unreadable_version_is_reported_and_the_page_stays(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    DeltaTable(str(lake.paths.ticks)).create_checkpoint()
    idle(lake, 100)
    entry(lake, 1).write_text("no log")
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        slider = page.get_by_label("Version of the table")
        slider.fill("1")
        expect(page.get_by_role("alert")).to_contain_text("cannot be read as of version 1")
        expect(slider).to_have_value("100")
        expect(page.locator("#when")).to_have_text("now")
        slider.fill("90")
        await_version(page, 90)
        slider.fill("1")
        expect(page.get_by_role("alert")).to_contain_text("cannot be read as of version 1")
        expect(page.locator("#when")).to_contain_text("version 90, ")
        expect(page.get_by_role("button", name="Back to now")).to_be_enabled()


def test_the_slider_covers_all_versions_of_the_log(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    idle(lake, 1_099)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        slider = page.get_by_label("Version of the table")
        expect(slider).to_have_attribute("min", "0")
        expect(slider).to_have_attribute("max", "1099")
        expect(page.locator("[data-of=age]")).to_have_text(re.compile(r"^\d+ d ago$"))


@pytest.mark.parametrize("elsewhere", ["now", "version 2, "])
def test_a_late_answer_does_not_change_the_version(page: Page, elsewhere: str) -> None:
    held: list[Route] = []
    page.route("**/api/status?as_of=1", lambda route: held.append(route))  # noqa: PLW0108 (a method takes no attribute)
    slider = page.get_by_label("Version of the table")
    with page.expect_request("**/api/status?as_of=1"):
        slider.fill("1")
    if elsewhere == "now":
        page.keyboard.press("Escape")
    else:
        slider.fill("2")
        await_version(page, 2)
    with page.expect_response("**/api/status?as_of=1"):
        held.pop().continue_()
    page.evaluate("() => fetch('api/health').then((answer) => answer.text())")  # by now the late response was handled
    expect(page.locator("#when")).to_contain_text(elsewhere)


def test_the_legend_stays_at_the_bar_under_the_pointer(page: Page, lake: LiveLake) -> None:
    legend, box, at = page.locator("#legend"), page.locator("#candles").bounding_box(), datetime.now(UTC)
    assert box
    await_version(page, lake.add([tick("AAPL", "180.5", at)]))
    newest = legend.inner_text()
    places = iter(range(round(box["width"]) - 60, 0, -4))
    while legend.inner_text()[:11] == newest[:11]:
        page.mouse.move(box["x"] + next(places), box["y"] + box["height"] / 2)
    older = legend.inner_text()
    await_version(page, lake.add([tick("AAPL", "181", at)]))
    assert legend.inner_text() == older
    page.mouse.move(1, 1)
    expect(legend).to_contain_text("C 181.00")


def test_links_to_json_follow_the_page(page: Page, lake: LiveLake) -> None:
    lake.add([b"no JSON"])
    page.get_by_label("Version of the table").fill("2")
    await_version(page, 2)
    for panel in ("status", "latest", "bars", "history"):
        expect(page.locator(f"[data-panel={panel}]")).to_have_attribute("href", re.compile("as_of=2"))
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.get_by_label("Reason").select_option("not_json")
    expect(page.locator("[data-panel=quarantine]")).to_have_attribute("href", "api/quarantine?reason=not_json")
    expect(page.locator("[data-panel=history]")).to_have_attribute("href", "api/history?")


def test_commits_are_listed_newest_first(page: Page, lake: LiveLake) -> None:
    page.keyboard.press("4")
    newest = move(lake, "180")
    row = page.locator("#history tbody tr").first
    expect(row.locator("td").first).to_have_text(str(newest))
    columns = page.locator("#history th").all_inner_texts()
    expect(row.locator("td").nth(columns.index("Rows added"))).to_have_text("1")
    expect(row.locator("td").nth(columns.index("Sequence"))).to_have_text(str(newest))
    expect(page.locator("#history tbody tr")).to_have_count(newest + 1)


@pytest.mark.parametrize(("key", "minutes"), [("4", 0), ("1", 2)], ids=["the list", "the candles, of late ticks"])
def test_frequent_commits_do_not_block_the_page(page: Page, lake: LiveLake, key: str, minutes: int) -> None:
    page.keyboard.press(key)
    seen = set()
    for _ in range(30):  # 3 to 6 seconds
        lake.add([tick("AAPL", "175", datetime.now(UTC) - timedelta(minutes=minutes))])
        page.wait_for_timeout(20)
        seen.add(page.locator("#history td").first.inner_text() if key == "4" else candles(page)["version"])
    assert len(seen) > 2


def test_dark_and_light_can_be_switched_and_are_remembered(browser: Browser, address: str) -> None:
    def ground() -> str:
        return str(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))

    with looking_at(address, browser) as page:
        page.emulate_media(color_scheme="light")
        light = ground()
        page.emulate_media(color_scheme="dark")
        dark = ground()
        assert light != dark
        page.get_by_label("Switch between dark and light").click()
        assert ground() == light
        page.reload()
        page.wait_for_selector('#candles:not([data-bars="0"])')
        assert ground() == light
        page.keyboard.press("d")
        assert ground() == dark


def test_an_unreadable_lake_is_not_shown_as_empty(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    whole = entry(lake, 3).read_text()
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        entry(lake, 3).write_text("no log")
        expect(page.locator("#empty")).to_contain_text("is damaged")
        expect(page.locator("#empty")).to_contain_text("The lake cannot be read")
        expect(page.locator("#start")).to_be_hidden()
        expect(page.locator("#link")).to_have_text("lake unreadable")
        entry(lake, 3).write_text(whole)
        expect(page.locator("#empty")).to_be_hidden()
        expect(page.locator("#candles")).to_be_visible()


def test_a_lost_server_is_reported_and_no_commit_is_missed(browser: Browser, lake: LiveLake) -> None:
    page = browser.new_page()
    with serving(lake.paths.root) as (address, _):
        page.goto(address)
        await_version(page, lake.version)
        port = int(address.rpartition(":")[2])
    expect(page.locator("#link")).to_have_attribute("data-link", "lost")
    expect(page.locator("body")).to_have_attribute("data-stale", "true")
    before = int(candles(page)["ticks"])
    for number in range(5):
        newest = move(lake, f"{180 + number}")
    with serving(lake.paths.root, port):
        await_version(page, newest)
        expect(page.locator("#link")).to_have_attribute("data-link", "open")
        assert int(candles(page)["ticks"]) == before + 5
        assert candles(page)["newest"]["close"] == "184.00"
        await_version(page, move(lake, "200"))
    page.close()


def test_the_page_is_live_only_while_the_job_runs_and_keeps_up(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        health, lag, services = page.locator("#link"), page.locator("[data-of=lag]"), page.locator("[data-of=services]")
        expect(health).to_have_text("live")
        expect(services).to_have_text("up")
        lake.pause("bars_1m", "<b>the disk is full")
        expect(services).to_have_text("bars_1m paused")
        expect(services).to_have_attribute("title", "bars_1m is paused: <b>the disk is full")
        lake.beat("producer", -1)
        expect(services).to_have_text("producer down; bars_1m paused")
        expect(health).to_have_text("live")
        lake.beat("spark-job", -1)
        expect(health).to_have_text("spark-job down")
        expect(health).to_have_attribute("data-health", "bad")
        expect(lag).to_have_attribute("data-state", "bad")
        first = float(lag.inner_text().split()[0])
        page.wait_for_timeout(1500)
        assert float(lag.inner_text().split()[0]) >= first + 1
        lake.beat("spark-job")
        expect(health).to_have_text("live")
        expect(lag).to_have_attribute("data-state", "")
        slider = page.get_by_label("Version of the table")
        slider.fill("1")
        expect(health).to_have_text("viewing version 1")
        page.keyboard.press("Escape")
        expect(health).to_have_text("live")


def test_acknowledged_ticks_without_a_commit_increase_the_lag(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        lake.paths.ledgers.mkdir()
        ledger, later = lake.paths.ledgers / "sim-1.jsonl", time.time() + 10
        ledger.write_text('{"source": "sim-1"}\n{"acknowledged": [[0, 9]]}\n')
        os.utime(ledger, (later, later))
        expect(page.locator("#link")).to_have_text("behind", timeout=10_000)
        expect(page.locator("[data-of=lag]")).to_have_attribute("data-state", "late")


def test_a_page_without_updates_is_marked_stale(browser: Browser, tmp_path: Path) -> None:
    lake = grown(tmp_path)
    with serving(lake.paths.root) as (address, process), looking_at(address, browser) as page:
        expect(page.locator("#link")).to_have_text("live")
        process.send_signal(signal.SIGSTOP)
        expect(page.locator("#link")).to_contain_text("no updates, as of ", timeout=8_000)
        expect(page.locator("#strip")).to_have_attribute("data-stale", "true")
        expect(page.locator("#link")).to_contain_text("server unreachable", timeout=8_000)
        process.send_signal(signal.SIGCONT)
        expect(page.locator("#link")).to_have_text("live", timeout=10_000)
        expect(page.locator("#strip")).to_have_attribute("data-stale", "false")


def test_a_proof_is_shown_with_its_version_and_age(browser: Browser, tmp_path: Path) -> None:
    lake, at = grown(tmp_path), datetime.now(UTC) - timedelta(minutes=59, seconds=58)
    verdict = {"verdict": "complete", "code": 0, "sentence": "complete", "at": at.isoformat(), "broker": True}
    lake.paths.verdict.write_text(json.dumps({**verdict, "version": 2, "lost": 0, "doubled": 0}))
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        proof = page.locator("[data-of=verdict]")
        expect(proof).to_have_text("0 lost, 0 doubled · version 2, 60 min ago")
        expect(proof).to_have_attribute("data-state", "")  # after an hour it no longer counts as current


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_the_dashboard_is_served_on_ipv6(browser: Browser, lake: LiveLake) -> None:
    page = browser.new_page()
    with serving(lake.paths.root, host="::1") as (address, _):
        page.goto(address)
        await_version(page, lake.version)
    page.close()


def test_hostile_records_are_inert(page: Page, lake: LiveLake) -> None:
    scripted = tick("AAPL", "175", datetime.now(UTC), 1, source="<script>document.title=1</script>")
    await_version(page, lake.add([*HOSTILE, scripted]))
    page.keyboard.press("3")
    expect(page.locator("#records")).to_contain_text(HOSTILE[0].decode())
    page.keyboard.press("2")
    page.get_by_label("SQL query").fill(STATEMENT)
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#result td").first).to_have_text("<img src=x onerror=document.title=1>")
    expect(page.locator("#result th").first).to_have_text("<b>bold</b>")
    assert page.locator("main img, main script, main b").count() == 0
    assert page.title() == "FinanceLake"


def test_refused_sql_gets_an_error_message(page: Page) -> None:
    page.keyboard.press("2")
    page.get_by_label("SQL query").fill("DELETE FROM ticks")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#told")).to_contain_text("Only SELECT is allowed")


def test_sql_results_can_be_downloaded(page: Page) -> None:
    page.keyboard.press("2")
    page.get_by_label("SQL query").fill("SELECT symbol FROM latest LIMIT 1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "financelake.csv"
    assert download.value.path().read_text().split() == ["symbol", "AAPL"]


def test_every_control_has_a_name(page: Page) -> None:
    for page_name in ("chart", "sql", "quarantine", "commits"):
        page.goto(f"{page.url.partition('#')[0]}#{page_name}")
        for control in page.locator("a, button, select, input, textarea, [tabindex='0']").all():
            if control.is_visible():
                label = control.evaluate("node => [...(node.labels ?? [])].map((each) => each.innerText).join(' ')")
                name = control.get_attribute("aria-label") or label or control.inner_text() or control.get_attribute("title")
                assert name, control.evaluate("node => node.outerHTML")


def test_a_phone_needs_no_horizontal_scrolling(browser: Browser, address: str) -> None:
    page = browser.new_page(viewport={"width": 360, "height": 780})
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
    page.close()


def test_an_empty_page_names_the_command_and_updates_by_itself(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    with serving(tmp_path / "new") as (address, _):
        page.goto(address)
        expect(page.locator("#empty")).to_contain_text("make local")
        expect(page.locator("#link")).to_have_text("no lake")
        lake = LiveLake(tmp_path / "new")
        move(lake, "175")
        await_version(page, 1)
        expect(page.locator("#empty")).to_be_hidden()
    page.close()


def test_a_symbol_beyond_the_list_can_be_opened_by_address(browser: Browser, tmp_path: Path) -> None:
    lake, at = grown(tmp_path), datetime.now(UTC)
    for part in range(3):
        lake.add([tick(f"B{number:04}", "10", at) for number in range(part * 1000, part * 1000 + 1000)])
    with serving(lake.paths.root) as (address, _), looking_at(address, browser) as page:
        page.goto(f"{address}?symbol=B2999")
        await_version(page, lake.version)
        expect(page.locator("#watch")).to_contain_text("Showing the first 2,000 symbols.")
        assert candles(page)["symbol"] == "B2999"
        await_version(page, lake.add([tick("B2999", "11", datetime.now(UTC))]))
        assert candles(page)["newest"]["close"] == "11.00"
