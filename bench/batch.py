"""Measure a warm micro-batch at the default rate, 100 ticks/s, with default settings: `python -m bench.batch`."""

from __future__ import annotations

import statistics
from typing import Any

from bench.broker import READERS, running_broker, start_job
from bench.figures import as_line

TICKS_PER_SECOND = 100
FIRST, LAST = 30, 90


def batches() -> dict[str, dict[str, Any]]:
    """Measure batches with each reader."""
    return {reader: batch(reader) for reader in READERS}


def batch(reader: str) -> dict[str, Any]:
    """Let the job warm up, then measure batches `FIRST` to `LAST`."""
    with running_broker() as stack:
        job = start_job(stack, READER=reader)
        stack.run("producer", TICKS_PER_SECOND=TICKS_PER_SECOND)
        job.run.wait_for(f"batch id={LAST} ", 600)
        times = job.batch_ms(FIRST, LAST)
    figures = {"batches": len(times), "median_ms": statistics.median(times), "max_ms": max(times)}
    print(f"batch, {reader}: {as_line(figures)}", flush=True)
    return figures


if __name__ == "__main__":
    batches()
