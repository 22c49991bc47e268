"""Measure the page over a long history: `python -m bench.page`. Needs Chromium; prints a line per figure and writes JSON.

The lake has BENCH_ROWS (50,000,000) ticks of ten symbols, 40 a second on days of 6.5 hours, in files of half a million in order
of time, as an import stores them. The page loads with an empty cache, then scrolls back: a step is the time from the request
for a page of older bars until it is drawn. It takes about 5 minutes on two cores.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa
from playwright.sync_api import sync_playwright

from bench import verify
from bench.dashboard import FOLDER, LOADS, first_load
from bench.reading import FILE, store
from finance_storage.schemas import UTC_MICROSECONDS
from tests.support.lakes import BuiltLake
from tests.support.live_dashboard import chromium, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROWS = int(os.environ.get("BENCH_ROWS", "50000000"))
PER_SECOND = 40
SECONDS_PER_DAY = 23_400
DAY_US = 86_400_000_000
SYMBOL = "MSFT"
SIZES = ("1s", "1m", "5m", "1h")
STEPS = 10
STEP_MS = 60_000
# Run in the page: note the time from each request for older bars until they are drawn.
NOTE = """() => {
  window.steps = [];
  const [asked, fetched] = [[], window.fetch];
  window.fetch = (address, ...rest) => {
    if (String(address).includes("before=")) asked.push(performance.now());
    return fetched(address, ...rest);
  };
  new MutationObserver((all) => {
    for (const _ of all) if (asked.length) window.steps.push(performance.now() - asked.shift());
  }).observe(document.getElementById("candles"), { attributes: true, attributeFilter: ["data-oldest"] });
}"""


def build(root: Path, rows: int) -> BuiltLake:
    """Build the lake; its last day ends now."""
    lake, batches = BuiltLake(root, partitions=verify.PARTITIONS), max(1, rows // verify.BATCH)
    per_day, pace_us = PER_SECOND * SECONDS_PER_DAY, 1_000_000 // PER_SECOND
    last = batches * verify.BATCH - 1
    end = int(datetime.now(UTC).timestamp()) * 1_000_000 - last % per_day * pace_us - last // per_day * DAY_US
    for batch in range(batches):
        numbers = np.arange(batch * verify.BATCH, (batch + 1) * verify.BATCH)
        times = pa.array(end + numbers // per_day * DAY_US + numbers % per_day * pace_us).cast(UTC_MICROSECONDS)
        ticks = verify.rows_of(batch)
        for name in ("ts_event", "kafka_timestamp"):
            ticks = ticks.set_column(ticks.column_names.index(name), ticks.schema.field(name), times)
        store(lake, ticks, FILE)
    return lake


def steps(browser: Browser, address: str, server: psutil.Process, size: str) -> dict[str, Any]:
    """Scroll back through bars of a size, step by step; also the CPU time of the server for a step."""
    page = browser.new_page()
    page.goto(f"{address}?symbol={SYMBOL}&size={size}")
    page.wait_for_selector('#candles:not([data-bars="0"])', timeout=STEP_MS)
    page.evaluate(NOTE)
    before = server.cpu_times()
    for number in range(1, STEPS + 1):
        if not scroll(page, number):
            break
    after = server.cpu_times()
    times, bars = page.evaluate("() => window.steps"), int(page.locator("#candles").get_attribute("data-bars") or 0)
    page.close()
    if not times:
        return {"steps": 0, "bars": bars}
    busy = after.user + after.system - before.user - before.system
    return {
        "steps": len(times),
        "bars": bars,
        "first_ms": round(times[0]),
        "median_ms": round(statistics.median(times)),
        "slowest_ms": round(max(times)),
        "server_cpu_ms": round(1000 * busy / len(times)),
    }


def scroll(page: Page, wanted: int) -> bool:
    """Scroll back until so many steps are drawn; False if there is nothing older."""
    chart, until = page.locator("#candles"), time.monotonic() + STEP_MS / 1000
    chart.hover()
    while page.evaluate("() => window.steps.length") < wanted and time.monotonic() < until:
        if chart.get_attribute("data-older") == "false":
            return False
        page.mouse.wheel(-800, 0)
        page.wait_for_timeout(20)
    return True


def main() -> None:
    """Measure, then print and write the figures."""
    figures: dict[str, Any] = {"rows": ROWS}
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as scratch:
        began = time.monotonic()
        lake = build(Path(scratch) / "data", ROWS)
        figures["built_seconds"] = round(time.monotonic() - began)
        print(f"rows: {ROWS:,}, built in {figures['built_seconds']} s", flush=True)
        with serving(lake.paths.root) as (address, process), sync_playwright() as playwright, chromium(playwright) as browser:
            loads = [first_load(browser, address) for _ in range(LOADS)]
            usual = sorted(loads, key=lambda load: load["seconds"])
            figures["first_load"] = {**usual[LOADS // 2], "first": loads[0]["seconds"], "slowest": usual[-1]["seconds"]}
            print(f"first_load: {json.dumps(figures['first_load'])}", flush=True)
            for size in SIZES:
                figures[f"steps_{size}"] = steps(browser, address, psutil.Process(process.pid), size)
                print(f"steps_{size}: {json.dumps(figures[f'steps_{size}'])}", flush=True)
            figures["resident_mb"] = round(psutil.Process(process.pid).memory_info().rss / 2**20)
            print(f"resident_mb: {figures['resident_mb']}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"page-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
