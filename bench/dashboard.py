"""Measure the dashboard: `python -m bench.dashboard [SECONDS]` (60). Needs Chromium; prints a line per figure and writes JSON.

A lake gets one commit a second, as from the job. The benchmark measures the time from a commit to the changed candle in the
browser, the first load, the server's memory with 10 viewers, and whether 50 viewers miss a version within SECONDS.
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
# Run in the page: note the time when the candles first show each version.
NOTE = """() => {
  window.seen = {};
  const node = document.getElementById("candles");
  const note = () => { window.seen[node.dataset.version] ??= Date.now(); };
  new MutationObserver(note).observe(node, { attributes: true, attributeFilter: ["data-version"] });
}"""


def records(number: int) -> list[bytes]:
    """Make the ticks of one second, of all symbols."""
    chance, now = random.Random(number), datetime.now(UTC)  # noqa: S311 (not for cryptography)
    names = sorted(SYMBOLS)
    made = []
    for place in range(TICKS_A_COMMIT):
        symbol = names[place % len(names)]
        price = f"{(SYMBOLS[symbol] + chance.randrange(-50, 50)) / 100:.2f}"
        made.append(tick(symbol, price, now - timedelta(milliseconds=900 - 9 * place), chance.randrange(1, 300)))
    return made


class Job:
    """Commits once a second, in a thread, and records the time of each version."""

    def __init__(self, lake: LiveLake) -> None:
        """Prepare the thread; entering the context starts it."""
        self.committed: dict[int, float] = {}
        self._lake = lake
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Start committing."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop committing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            version = self._lake.add(records(self._lake.batch))
            entry = self._lake.paths.ticks / "_delta_log" / f"{version:020d}.json"
            self.committed[version] = entry.stat().st_mtime * 1000  # others see the version before `add` returns
            self._stop.wait(max(0.0, 1 - (time.monotonic() - began)))


def first_load(browser: Browser, address: str) -> dict[str, Any]:
    """Open the page with an empty cache; the size is that of all responses except the event stream."""
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
    page.remove_listener("requestfinished", finished)
    page.wait_for_timeout(100)  # until sizes that were asked for have come
    page.context.close()
    return {"seconds": round(seconds, 2), "kilobytes": round(sum(sizes) / 1024, 1), "answers": len(sizes), "elsewhere": others}


def to_candle(browser: Browser, address: str, job: Job) -> dict[str, Any]:
    """Watch a page for new versions and return the delays after their commits; both clocks are this machine's."""
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
    """Connect `viewers` viewers for some seconds; return the versions that each of them received."""

    async def viewer() -> list[int]:
        versions: list[int] = []
        async with httpx2.AsyncClient(timeout=None) as client, client.stream("GET", f"{address}/api/events") as response:
            response.raise_for_status()
            try:
                async with asyncio.timeout(seconds):
                    async for line in response.aiter_lines():
                        versions += [int(line[4:])] if line.startswith("id: ") else []
            except TimeoutError:
                return versions
        raise AssertionError("an event stream has ended")

    return await asyncio.gather(*(viewer() for _ in range(viewers)))


def watched(address: str, viewers: int, seconds: float) -> list[list[int]]:
    """Run `watch` in another thread, because Playwright runs its own event loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(watch(address, viewers, seconds))).result()


def missed(received: list[list[int]]) -> int:
    """Count the versions that viewers missed or received twice."""
    return sum(
        len(set(range(versions[0], versions[-1] + 1)) ^ set(versions)) + len(versions) - len(set(versions))
        for versions in received
    )


def main() -> None:
    """Measure, then print and write the figures."""
    seconds = float(next(iter(sys.argv[1:]), "60"))
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as scratch:
        lake = LiveLake(Path(scratch) / "data")
        for number in range(BEFORE):
            lake.add(records(number))
        with serving(lake.paths.root) as (address, process), sync_playwright() as playwright, chromium(playwright) as browser:
            server = psutil.Process(process.pid)
            time.sleep(SETTLE_SECONDS)  # a visitor would not open the page sooner
            loads = sorted((first_load(browser, address) for _ in range(LOADS)), key=lambda load: load["seconds"])
            figures["first_load"] = {**loads[LOADS // 2], "slowest": loads[-1]["seconds"]}
            with Job(lake) as job:
                figures["commit_to_candle"] = to_candle(browser, address, job)
                watched(address, WATCHERS_OF_MEMORY, 10)
                figures["resident_mb_10_viewers"] = round(server.memory_info().rss / 2**20)
                before = server.cpu_times()
                received = watched(address, VIEWERS, seconds)
                after = server.cpu_times()
            busy = after.user + after.system - before.user - before.system
            figures["viewers"] = {
                "viewers": VIEWERS,
                "seconds": seconds,
                "versions": min(map(len, received)),
                "missed": missed(received),
                "cpu_percent": round(100 * busy / seconds),
                "resident_mb": round(server.memory_info().rss / 2**20),
            }
    for name, value in figures.items():
        print(f"{name}: {json.dumps(value)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"dashboard-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
