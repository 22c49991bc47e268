"""Measure the lake as it is shipped: `make bench`. Prints a table and writes bench/results/<date>.json.

Real ZooKeeper, Kafka, producer and job, as `make local` runs them, on scratch folders. Nothing else should run meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import re
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finance_lake.state.table import committed_offsets, open_table, row_count
from tests.stack.pipeline import Run, Stack, free_port, wait_until

if TYPE_CHECKING:
    import psutil

ROOT = Path(__file__).parents[1]
TICKS = int(os.environ.get("BENCH_TICKS", "4000000"))
BATCH = re.compile(r"(\S+)Z \[info\] batch id=\d+ rows=(\d+)")


def new_stack() -> Stack:
    """Return a stack on a scratch folder and free ports."""
    return Stack(Path(tempfile.mkdtemp(prefix="financelake-bench-")), free_port(), free_port(), "finance")


def memory_by_role(run: Run) -> dict[str, float]:
    """Return the proportional resident memory of each role's process tree, in MB."""
    sizes = {}
    for role in ("zookeeper", "kafka", "producer", "spark-job"):
        top = run.role_process(role)
        tree = [top, *top.children(recursive=True)]
        sizes[role] = round(sum(process.memory_full_info().pss for process in tree) / 1e6, 1)
    return sizes


def start_and_memory() -> dict[str, Any]:
    """Time from the start of `make local` to the first row; memory after a minute at the default rate."""
    stack = new_stack()
    started = time.monotonic()
    run = stack.run("zookeeper kafka topic-init producer spark-job")
    try:
        wait_until(lambda: open_table(stack.layout.ticks) is not None and row_count(stack.layout.ticks) > 0, 180, "a first row")
        first_row = time.monotonic() - started
        run.wait_for("Running:")
        batches = run.count("batch id=")
        wait_until(lambda: run.count("batch id=") >= batches + 60, 180, "sixty batches")
        memory = memory_by_role(run)
        return {
            "first_row_seconds": round(first_row, 1),
            "memory_mb": memory,
            "memory_total_mb": round(sum(memory.values()), 1),
        }
    finally:
        run.stop()
        run.kill_everything()


def cpu_seconds(process: psutil.Process) -> float:
    """Return user and system time of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)


def producer_and_drain() -> dict[str, Any]:
    """Rate of the producer alone as fast as it can; then of the job alone on the topic that it filled."""
    stack = new_stack()
    broker = stack.run("zookeeper kafka topic-init")
    try:
        broker.wait_for("Running:")
        producer = stack.run("producer", TICKS_PER_SECOND=0, MAX_TICKS=TICKS)
        producer.wait_for("connected")
        wait_until(lambda: sum(stack.end_offsets().values()) > 0, 60, "the first tick")
        started, process, cpu = time.monotonic(), producer.role_process("producer"), 0.0
        while sum(stack.end_offsets().values()) < TICKS:
            cpu = cpu_seconds(process) if process.is_running() else cpu
            time.sleep(0.05)
        seconds = time.monotonic() - started
        producer.stop()
        job = stack.run("spark-job")
        job.wait_for("batch id=0")
        # By the log alone: reading the rows meanwhile would take a core from the job.
        wait_until(lambda: committed_offsets(stack.layout.ticks) == stack.end_offsets(), 600, "the end of the topic")
        job.stop()
        stack.assert_complete()
        return {
            "producer_ticks_per_second": round(TICKS / seconds),
            "producer_cpu_us_a_tick": round(cpu / TICKS * 1e6, 2),
            "drain_ticks_per_second": steady_rate(job.text()),
            "bytes_a_tick": round(sum(file.stat().st_size for file in stack.layout.ticks.rglob("*.parquet")) / TICKS, 1),
        }
    finally:
        for run in stack.runs:
            run.stop()
            run.kill_everything()


def steady_rate(story: str) -> int:
    """Return ticks a second from the end of the first batch to the end of the last, by the job's own lines."""
    batches = [(datetime.fromisoformat(moment), int(rows)) for moment, rows in BATCH.findall(story)]
    seconds = (batches[-1][0] - batches[0][0]).total_seconds()
    return round(sum(rows for _, rows in batches[1:]) / seconds) if seconds else 0


def main() -> None:
    """Run all, print, write."""
    figures = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "ticks": TICKS,
        **start_and_memory(),
        **producer_and_drain(),
    }
    for name, value in figures.items():
        print(f"{name:28} {value}")
    results = ROOT / "bench" / "results"
    results.mkdir(exist_ok=True)
    (results / f"{datetime.now(UTC):%Y-%m-%dT%H%M%S}.json").write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
