"""Measure derived tables: `python -m bench.derived`.

Cost and lag: at each rate the job runs with and without derived tables, in turn, on one broker. Build: how long the tables of
ten million ticks take from nothing, without ingestion beside it.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from deltalake import DeltaTable

from bench.broker import running_broker, start_job
from bench.figures import as_line, medians
from bench.latency import WARM_BATCHES, delays
from bench.machine import Meter
from bench.reading import build
from finance_job.config import Settings
from finance_job.derived.revision import Revisions
from finance_job.derived.sessions import tick_table
from finance_job.derived.tables import DERIVED_TABLES
from finance_job.session import start_session
from finance_storage import delta_log
from finance_storage.derived_tables import states
from tests.support.lakes import LAKE
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_storage.paths import LakePaths
    from tests.support.stack import Stack

RATES = [int(rate) for rate in os.environ.get("BENCH_RATES", "100,20000").split(",")]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
BARS_SECONDS = float(os.environ.get("BENCH_BARS_SECONDS", "60"))
SYMBOLS = ",".join(f"S{number:03}" for number in range(500))
MILLIONS = 10


def costs(rate: int) -> dict[str, Any]:
    """Return the medians with and without derived tables at a rate, in ticks per second, and the largest lag of any table."""
    measured: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    with running_broker() as stack:
        for number in range(ROUNDS):
            for name in ("off", "on"):
                measured[name].append(cost(stack, rate, BARS_SECONDS if name == "on" else 0))
                print(f"derived, {rate} /s, round {number}, {name}: {as_line(measured[name][-1])}", flush=True)
    return {name: medians(rounds) for name, rounds in measured.items()}


def cost(stack: Stack, rate: int, bars_seconds: float) -> dict[str, float]:
    """Let the job warm up until a second revision could be there, then measure it for two more."""
    symbols = {"SYMBOLS": SYMBOLS} if rate >= len(SYMBOLS) else {}
    producer = stack.run("producer", TICKS_PER_SECOND=rate, **symbols)
    job = start_job(stack, BARS_SECONDS=bars_seconds)
    job.run.wait_for(f"batch id={WARM_BATCHES} ", 300)
    pause(1.5 * BARS_SECONDS)
    meter, since = Meter(job.run.role_process("spark-job")), time.time()
    for _ in range(round(2 * BARS_SECONDS)):
        pause(1)
        meter.look()
    p50, p99 = np.percentile(delays(job.lake.ticks, since), [50, 99])
    figures = {
        "p50_ms": round(float(p50)),
        "p99_ms": round(float(p99)),
        "cpu_percent": round(100 * meter.cpu / (time.time() - since), 1),
        "peak_mb": meter.peak_mb,
        "max_lag_s": round(max(lags(job.lake, since), default=0.0), 1),
    }
    producer.stop()
    job.run.stop()
    return figures


def lags(paths: LakePaths[Path], since: float) -> Iterator[float]:
    """Yield, for each revision since a time, the age of the oldest commit of ticks that the table lacked before it."""
    for state in states(paths):
        for (_, before), (committed, _) in pairwise(revisions(paths.derived(state.name))):
            first = delta_log.entry(paths.ticks, before + 1)
            if committed > since and first:
                yield committed - first.committed.timestamp()


def revisions(folder: Path) -> Iterator[tuple[float, int]]:
    """Yield when each revision was committed, in seconds since 1970, and the version of the ticks that it is of."""
    for entry in sorted((folder / "_delta_log").glob("*.json")):
        for line in entry.read_bytes().splitlines():
            metadata = json.loads(line).get("commitInfo", {}).get("userMetadata")
            if metadata:
                yield entry.stat().st_mtime, json.loads(metadata)["as_of"]


def pause(seconds: float) -> None:
    """Let the processes run for some time."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end, seconds + 10, "the end of a pause")


def builds() -> dict[str, dict[str, float]]:
    """Return the time and the memory that it takes to build each derived table of `MILLIONS` of ticks."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        lake = build(Path(folder), MILLIONS)
        spark = start_session(Settings(spark_ui_port=0, data_dir=Path(folder) / "spark"))
        ticks = tick_table(spark, lake.paths, LAKE)
        figures = {table.name: built(Revisions(ticks, table), lake.paths) for table in DERIVED_TABLES}
        spark.stop()
    return figures


def built(revisions: Revisions, paths: LakePaths[Path]) -> dict[str, float]:
    """Build a table; return how long it took, the CPU seconds, and the peak memory of this process and the JVM."""
    version = DeltaTable(str(paths.ticks)).version()
    meter, started = Meter(psutil.Process()), time.monotonic()
    with ThreadPoolExecutor() as threads:
        building = threads.submit(revisions.restate_all, version)
        while not wait([building], timeout=0.5).done:
            meter.look()
        building.result()
    meter.look()
    figures = {"seconds": round(time.monotonic() - started, 1), "cpu_s": round(meter.cpu, 1), "peak_mb": meter.peak_mb}
    print(f"derived, {MILLIONS} M ticks: {as_line(figures)}", flush=True)
    return figures


if __name__ == "__main__":
    builds()
    for each in RATES:
        print(f"derived, {each} /s: {as_line(costs(each))}", flush=True)
