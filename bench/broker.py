"""The rig of the benchmarks: a broker with a topic that the producer fills, and the job, in a scratch folder."""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.machine import cpu_seconds
from finance_storage.paths import LakePaths
from tests.support.stack import Run, Stack, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

# The job's readers (its setting READER); all are measured unless BENCH_READERS names fewer.
READERS = tuple(os.environ.get("BENCH_READERS", "spark,direct").split(","))
MAX_PUBLISH_SECONDS = 600
BATCH = re.compile(r"batch id=(\d+) .* ms=(\d+) ")


class Job(NamedTuple):
    """A running job and the lake that it fills."""

    run: Run
    lake: LakePaths[Path]

    def batch_ms(self, first: int, last: int) -> list[int]:
        """Return the durations of batches `first` to `last`, inclusive, in milliseconds."""
        return [int(ms) for number, ms in BATCH.findall(self.run.text()) if first <= int(number) <= last]


@contextmanager
def running_broker() -> Iterator[Stack]:
    """Run ZooKeeper, Kafka and an empty topic in a scratch folder on free ports."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        stack = Stack(Path(folder), free_port(), free_port(), "finance")
        try:
            stack.run("zookeeper kafka topic-init").wait_for("Running:")
            yield stack
        finally:
            for run in reversed(stack.runs):
                run.stop()
                run.kill_everything()


def publish(stack: Stack, ticks: int) -> dict[str, float]:
    """Publish `ticks` ticks with the producer as fast as possible; return its rate and its CPU time per tick."""
    before = sum(stack.end_offsets().values())
    producer = stack.run("producer", TICKS_PER_SECOND=0, MAX_TICKS=ticks)
    producer.wait_for("connected")
    wait_until(lambda: sum(stack.end_offsets().values()) > before, 60, "the first tick")
    started, process, cpu = time.monotonic(), producer.role_process("producer"), 0.0
    while (done := sum(stack.end_offsets().values()) - before) < ticks:
        cpu = cpu_seconds(process) or cpu
        assert time.monotonic() - started < MAX_PUBLISH_SECONDS, f"only {done} ticks of {ticks} were published"
        time.sleep(0.05)
    seconds = time.monotonic() - started
    producer.stop()
    return {"ticks_per_second": round(ticks / seconds), "cpu_us_a_tick": round(cpu / ticks * 1e6, 2)}


def start_job(stack: Stack, **settings: str | float) -> Job:
    """Start the job with its defaults except for these settings, on a new lake beside the broker's folder."""
    folder = stack.folder / f"lake-{len(stack.runs)}"
    folder.mkdir()
    return Job(stack.run("spark-job", DATA_DIR=str(folder), **settings), LakePaths(folder))
