"""Measure latency from publishing a tick until it is in the table, with each reader: `python -m bench.latency`.

A tick's `ts_event` is the time when the producer made it. It is in the table when the log entry of its commit is written. The
figures include every tick of the measured interval, not a sample.
"""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from bench.broker import READERS, running_broker, start_job
from bench.figures import as_line
from finance_storage.delta_table import committed_offsets
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.stack import Stack

RATES = [int(rate) for rate in os.environ.get("BENCH_RATES", "1000,20000,100000").split(",")]
WARM_BATCHES = 30
SECONDS = 30.0


def entries(table: Path, since: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """Yield the commit time and the log's `add` action of each data file committed after `since`."""
    for entry in sorted((table / "_delta_log").glob("*.json")):
        committed = entry.stat().st_mtime
        if committed < since:
            continue
        for line in entry.read_bytes().splitlines():
            if (added := json.loads(line).get("add")) and added["dataChange"]:
                yield committed, added


def delays(table: Path, since: float) -> np.ndarray:
    """Return the delay of each tick in milliseconds."""
    by_file = [
        committed * 1000 - pq.ParquetFile(table / added["path"]).read(["ts_event"])[0].cast("int64").to_numpy() / 1000
        for committed, added in entries(table, since)
    ]
    return np.concatenate(by_file)


def measure(stack: Stack, reader: str, rate: int, trigger_seconds: float) -> dict[str, Any]:
    """Publish at a rate, let the job warm up, then measure."""
    job = start_job(stack, READER=reader, TRIGGER_SECONDS=trigger_seconds)
    table = job.lake.ticks
    producer = stack.run("producer", TICKS_PER_SECOND=rate)
    job.run.wait_for(f"batch id={WARM_BATCHES} ", 300)
    since = time.time()
    started = datetime.now(UTC)
    wait_until(lambda: (datetime.now(UTC) - started).total_seconds() > SECONDS, 2 * SECONDS, "the measured interval")
    producer.stop()
    wait_until(lambda: committed_offsets(table) == stack.end_offsets(), 60, "the table has all")
    job.run.stop()
    p50, p95, p99, most = (round(float(delay)) for delay in np.percentile(delays(table, since), [50, 95, 99, 100]))
    figures = {"rate": rate, "trigger_seconds": trigger_seconds, "p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": most}
    print(f"latency, {reader}: {as_line(figures)}", flush=True)
    return figures


def latencies() -> dict[str, list[dict[str, Any]]]:
    """Measure latency with each reader."""
    return {reader: latencies_of(reader) for reader in READERS}


def latencies_of(reader: str) -> list[dict[str, Any]]:
    """Measure each rate with the low-latency setting, and the middle one with the defaults."""
    figures = []
    for rate, trigger in [*((rate, 0) for rate in RATES), (RATES[len(RATES) // 2], 1)]:
        with running_broker() as stack:
            figures.append(measure(stack, reader, rate, trigger))
    return figures


if __name__ == "__main__":
    latencies()
