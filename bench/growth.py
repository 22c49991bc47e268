"""Measure how batches and opening the table slow down with many commits: `python -m bench.growth [COMMITS]` (5000).

The job runs batches back to back, including maintenance. The figures are medians of the hundred batches before each mark, for
each reader.
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
    """Return the median time of five to open the table with deltalake and list its files, in milliseconds."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        DeltaTable(str(table)).file_uris()
        times.append(1000 * (time.perf_counter() - started))
    return round(statistics.median(times), 1)


def grow(stack: Stack, reader: str, commits: int) -> list[dict[str, Any]]:
    """Let the table grow and measure at each mark."""
    job = start_job(stack, READER=reader, TRIGGER_SECONDS=0)
    table = job.lake.ticks
    stack.run("producer", TICKS_PER_SECOND=RATE)
    marks = []
    for mark in sorted({mark for mark in (*MARKS, commits) if mark <= commits}):
        job.run.wait_for(f"batch id={mark} ", 3600)
        batches = job.batch_ms(mark - WINDOW + 1, mark)
        files = len(DeltaTable(str(table)).file_uris())
        marks.append({"commit": mark, "batch_ms": statistics.median(batches), "open_ms": open_ms(table), "files": files})
        print(f"growth, {reader}: {as_line(marks[-1])}", flush=True)
    return marks


def growth(commits: int) -> dict[str, dict[str, Any]]:
    """Grow a lake with each reader; `ratio` compares the last mark with the first."""
    by_reader = {}
    for reader in READERS:
        with running_broker() as stack:
            marks = grow(stack, reader, commits)
        by_reader[reader] = {"marks": marks, "ratio": round(marks[-1]["batch_ms"] / marks[0]["batch_ms"], 2)}
    return by_reader


if __name__ == "__main__":
    print(as_line(growth(int(sys.argv[1]) if len(sys.argv) > 1 else MARKS[-1])))
