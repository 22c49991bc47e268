"""Support for browser tests and benchmarks: a lake that grows on demand, a server process, a page in Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import pyarrow as pa

from finance_job.worker_task import WorkerTask
from finance_lake.dashboard.serve import in_url
from finance_lake.status import BEATING
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import RECORDS, BuiltLake
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
ROOT = Path(__file__).parents[2]
SYMBOLS = {"AAPL": 17_450, "AMZN": 18_512, "GOOG": 16_230, "META": 50_144, "MSFT": 41_205, "NVDA": 13_577, "TSLA": 24_880}
START_SECONDS = 30


class LiveLake(BuiltLake):
    """A lake whose batches arrive now, like those of a running job."""

    def __init__(self, root: Path, *, partitions: int = 1) -> None:
        """Create the lake with live heartbeats."""
        super().__init__(root, partitions=partitions)
        for role in BEATING:
            self.beat(role)

    def beat(self, role: str, seconds: float = 3600) -> None:
        """Write a heartbeat of a role, valid for `seconds`."""
        Heartbeat(heartbeat_file(self.paths.root, role), seconds).beat()

    @property
    def version(self) -> int:
        """The newest version of the ticks table."""
        return self.batch + 1

    def add(self, values: Sequence[bytes], at: datetime | None = None) -> int:
        """Store a batch of records that arrived at time `at`; return the new version of the ticks table."""
        moment = at or datetime.now(UTC)
        start = self.plan(len(values))
        rows = [
            {"key": None, "value": value, "partition": 0, "offset": start + index, "timestamp": moment}
            for index, value in enumerate(values)
        ]
        tables = {name: self.paths.table(name) for name in (TICKS, QUARANTINE)}
        task = WorkerTask(tables, round(moment.timestamp() * 1000))
        files = list(task.files(iter([pa.RecordBatch.from_pylist(rows, RECORDS)])))
        self.commit(QUARANTINE, files)
        self.commit(TICKS, files)
        return self.version


def tick(symbol: str, price: str, at: datetime, size: int = 1, **others: object) -> bytes:
    """Encode a tick; the text of its price is used as it is."""
    nanoseconds = round(at.timestamp() * 1000) * 10**6
    rest = json.dumps({"size": size, "ts_event": nanoseconds, **others})
    return f'{{"symbol": "{symbol}", "price": {price}, {rest[1:]}'.encode()


@contextmanager
def serving(folder: Path, port: int = 0, host: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Run `financelake serve` on a lake; yield its address and its process."""
    port = port or free_port()
    command = [sys.executable, "-m", "finance_lake", "serve", "--data", str(folder), "--host", host, "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    address = f"http://{in_url(host)}:{port}"
    try:
        _await(address, process)
        yield address, process
    finally:
        process.terminate()
        process.communicate(timeout=START_SECONDS)


@contextmanager
def chromium(playwright: Playwright) -> Iterator[Browser]:
    """Start Debian's Chromium."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
    try:
        yield browser
    finally:
        browser.close()


@contextmanager
def looking_at(address: str, browser: Browser) -> Iterator[Page]:
    """Open the dashboard. Errors and warnings on the page fail the test, and so does a request to another host."""
    context = browser.new_context(viewport={"width": 1280, "height": 760})
    page = context.new_page()
    complaints: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # Chromium itself reports connections that a stopped server refuses.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith((address, "blob:", "data:")):
            complaints.append(f"a request to {request.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", on_request)
    page.goto(address)
    page.wait_for_selector('#candles:not([data-bars="0"])')
    yield page
    context.close()
    assert not complaints


def _await(address: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up:
        assert process.poll() is None, process.communicate()
        try:
            urlopen(f"{address}/api/health", timeout=1).close()  # noqa: S310 (our own server)
        except URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{address} does not answer")
