"""Growth: what a batch and an opening of the table cost after many commits; `python -m bench.growth [COMMITS]` (5000).

The job runs batch after batch of whatever has come meanwhile, maintenance and all; medians of the hundred batches before
each mark, with each reader.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

from deltalake import DeltaTable

from bench.broker import READERS, running_broker, start_job
from bench.figures import as_line

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

RATE = 1000
WINDOW = 100
MARKS = (100, 1000, 5000)


def open_ms(table: Path) -> float:
    """Milliseconds to open the table with deltalake and list its files, the median of five."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        DeltaTable(str(table)).file_uris()
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1)


def grow(stack: Stack, reader: str, commits: int) -> list[dict[str, Any]]:
    """Let the table grow; look at each mark."""
    job = start_job(stack, READER=reader, TRIGGER_SECONDS=0)
    table = job.lake.ticks
    stack.run("producer", TICKS_PER_SECOND=RATE)
    found = []
    for mark in sorted({mark for mark in (*MARKS, commits) if mark <= commits}):
        job.run.wait_for(f"batch id={mark} ", 3600)
        batches = job.batch_ms(mark - WINDOW + 1, mark)
        files = len(DeltaTable(str(table)).file_uris())
        found.append({"commit": mark, "batch_ms": statistics.median(batches), "open_ms": open_ms(table), "files": files})
        print(f"growth, {reader}: {as_line(found[-1])}", flush=True)
    return found


def growth(commits: int) -> dict[str, dict[str, Any]]:
    """Grow a lake with each reader; the ratio is that of the last mark to the first."""
    found = {}
    for reader in READERS:
        with running_broker() as stack:
            marks = grow(stack, reader, commits)
        found[reader] = {"marks": marks, "ratio": round(marks[-1]["batch_ms"] / marks[0]["batch_ms"], 2)}
    return found


if __name__ == "__main__":
    print(as_line(growth(int(sys.argv[1]) if len(sys.argv) > 1 else MARKS[-1])))
