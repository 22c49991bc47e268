"""Measure the dashboard: `python -m bench.dashboard [SECONDS]` (60). Needs Chromium; prints a line a figure and writes JSON.

A lake gets one commit a second, as from a job. Measured are the time from a commit to the changed candle in the browser, the
first load, the server's memory with 10 viewers, and whether 50 viewers miss a version in SECONDS.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx2
import psutil
from playwright.sync_api import sync_playwright

from tests.support.live_dashboard import SYMBOLS, LiveLake, chromium, serving, tick

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BEFORE = 300
TICKS_A_COMMIT = 100
COMMITS_SEEN = 40
VIEWERS = 50
SETTLE_SECONDS = 2
LOADS = 5
WATCHERS_OF_MEMORY = 10
FOLDER = Path(__file__).parents[1] / "build" / "bench"
# What is noted in the page, at the moment when the candles say that they have a version.
NOTE = """() => {
  window.seen = {};
  const node = document.getElementById("candles");
  const note = () => { window.seen[node.dataset.version] ??= Date.now(); };
  new MutationObserver(note).observe(node, { attributes: true, attributeFilter: ["data-version"] });
}"""


def records(number: int) -> list[bytes]:
    """Make the ticks of a second, of all symbols."""
    chance, now = random.Random(number), datetime.now(UTC)  # noqa: S311 (a market, no secret)
    names = sorted(SYMBOLS)
    made = []
    for place in range(TICKS_A_COMMIT):
        symbol = names[place % len(names)]
        price = f"{(SYMBOLS[symbol] + chance.randrange(-50, 50)) / 100:.2f}"
        made.append(tick(symbol, price, now - timedelta(milliseconds=900 - 9 * place), chance.randrange(1, 300)))
    return made


class Job:
    """Commits once a second, in a thread, and remembers when each version was there."""

    def __init__(self, lake: LiveLake) -> None:
        """Commit nothing yet."""
        self.committed: dict[int, float] = {}
        self._lake = lake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            version = self._lake.add(records(self._lake.batch))
            entry = self._lake.paths.ticks / "_delta_log" / f"{version:020d}.json"
            self.committed[version] = entry.stat().st_mtime * 1000  # `add` returns later than others can see it
            self._stop.wait(max(0.0, 1 - (time.monotonic() - began)))


def first_load(browser: Browser, address: str) -> dict[str, Any]:
    """Open the page as a new visitor does, with nothing cached; bytes are those of the answers, events left out."""
    page = browser.new_context().new_page()
    sizes: list[int] = []
    others: list[str] = []

    def finished(request: Any) -> None:  # noqa: ANN401 (playwright's)
        sizes.append(request.sizes()["responseBodySize"] + request.sizes()["responseHeadersSize"])

    page.on("requestfinished", finished)
    page.on("request", lambda request: None if request.url.startswith(address) else others.append(request.url))
    began = time.monotonic()
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    seconds = time.monotonic() - began
    page.wait_for_timeout(500)
    page.context.close()
    return {"seconds": round(seconds, 2), "kilobytes": round(sum(sizes) / 1024, 1), "answers": len(sizes), "elsewhere": others}


def to_candle(browser: Browser, address: str, job: Job) -> dict[str, Any]:
    """Wait for commits in a page and compare the clocks, which are of one machine."""
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    page.evaluate(NOTE)
    page.wait_for_timeout(COMMITS_SEEN * 1000)
    seen = {int(version): at for version, at in page.evaluate("() => window.seen").items()}
    page.close()
    waits = sorted(at - job.committed[version] for version, at in seen.items() if version in job.committed)
    return {
        "commits": len(waits),
        "median_ms": round(statistics.median(waits)),
        "p95_ms": round(waits[int(len(waits) * 0.95)]),
        "largest_ms": round(waits[-1]),
    }


async def watch(address: str, viewers: int, seconds: float) -> list[list[int]]:
    """Connect so many viewers for so long; give the versions that each was told."""

    async def viewer() -> list[int]:
        told: list[int] = []
        async with httpx2.AsyncClient(timeout=None) as client, client.stream("GET", f"{address}/api/events") as answer:
            answer.raise_for_status()
            try:
                async with asyncio.timeout(seconds):
                    async for line in answer.aiter_lines():
                        told += [int(line[4:])] if line.startswith("id: ") else []
            except TimeoutError:
                return told
        raise AssertionError("a stream has ended")

    return await asyncio.gather(*(viewer() for _ in range(viewers)))


def watched(address: str, viewers: int, seconds: float) -> list[list[int]]:
    """Do so in a thread: Playwright has a loop of its own in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(watch(address, viewers, seconds))).result()


def missed(told: list[list[int]]) -> int:
    """Count the versions that viewers were not told, or twice."""
    return sum(len(set(range(one[0], one[-1] + 1)) ^ set(one)) + len(one) - len(set(one)) for one in told)


def main() -> None:
    """Measure, print, write."""
    seconds = float(next(iter(sys.argv[1:]), "60"))
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as scratch:
        lake = LiveLake(Path(scratch) / "data")
        for number in range(BEFORE):
            lake.add(records(number))
        with serving(lake.paths.root) as (address, process), sync_playwright() as playwright, chromium(playwright) as browser:
            server = psutil.Process(process.pid)
            time.sleep(SETTLE_SECONDS)  # a person takes longer to get there
            loads = sorted((first_load(browser, address) for _ in range(LOADS)), key=lambda one: one["seconds"])
            figures["first_load"] = {**loads[LOADS // 2], "slowest": loads[-1]["seconds"]}
            with Job(lake) as job:
                figures["commit_to_candle"] = to_candle(browser, address, job)
                watched(address, WATCHERS_OF_MEMORY, 10)
                figures["resident_mb_10_viewers"] = round(server.memory_info().rss / 2**20)
                before = server.cpu_times()
                told = watched(address, VIEWERS, seconds)
                after = server.cpu_times()
            busy = after.user + after.system - before.user - before.system
            figures["viewers"] = {
                "viewers": VIEWERS,
                "seconds": seconds,
                "versions": min(map(len, told)),
                "missed": missed(told),
                "cpu_percent": round(100 * busy / seconds),
                "resident_mb": round(server.memory_info().rss / 2**20),
            }
    for name, value in figures.items():
        print(f"{name}: {json.dumps(value)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"dashboard-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
