"""The stand that benchmarks run on: a broker with a topic that the producer has filled, and the pace of the machine."""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import psutil

from tests.stack.pipeline import Run, Stack, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_FILL_SECONDS = 600
VALUE = b'{"symbol":"AAPL","price":174.50,"size":100,"ts_event":1764000000000000000,"seq":1,"source":"sim-7"}'


@contextmanager
def stand() -> Iterator[Stack]:
    """Run ZooKeeper, Kafka and an empty topic on a scratch folder and free ports."""
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        stack = Stack(Path(folder), free_port(), free_port(), "finance")
        try:
            stack.run("zookeeper kafka topic-init").wait_for("Running:")
            yield stack
        finally:
            for run in reversed(stack.runs):
                run.stop()
                run.kill_everything()


def fill(stack: Stack, ticks: int) -> dict[str, float]:
    """Have the producer publish that many ticks as fast as it can; tell its rate and what a tick cost it."""
    before = sum(stack.end_offsets().values())
    producer = stack.run("producer", TICKS_PER_SECOND=0, MAX_TICKS=ticks)
    producer.wait_for("connected")
    wait_until(lambda: sum(stack.end_offsets().values()) > before, 60, "the first tick")
    started, process, cpu = time.monotonic(), producer.role_process("producer"), 0.0
    while (done := sum(stack.end_offsets().values()) - before) < ticks:
        cpu = cpu_seconds(process) or cpu
        assert time.monotonic() - started < LONGEST_FILL_SECONDS, f"only {done} ticks of {ticks} were published"
        time.sleep(0.05)
    seconds = time.monotonic() - started
    producer.stop()
    return {"ticks_per_second": round(ticks / seconds), "cpu_us_a_tick": round(cpu / ticks * 1e6, 2)}


def cpu_seconds(top: psutil.Process) -> float:
    """User and system time of a process and all that it has started and that still runs."""
    try:
        tree = [top, *top.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in tree)
    except psutil.NoSuchProcess:
        return 0.0


def resident_mb(top: psutil.Process) -> float:
    """Proportional resident memory of a process and all that it has started, in MB."""
    try:
        return round(sum(process.memory_full_info().pss for process in [top, *top.children(recursive=True)]) / 1e6, 1)
    except psutil.NoSuchProcess:
        return 0.0


def calibration() -> dict[str, float]:
    """Two fixed loops, in milliseconds: copying memory and decoding JSON. They tell the machine's pace."""
    decode, block = msgspec.json.Decoder().decode, np.ones(8_000_000, np.int64)
    target = block.copy()

    def copy() -> None:
        for _ in range(5):
            np.copyto(target, block)

    def parse() -> None:
        for _ in range(100_000):
            decode(VALUE)

    return {"copy_ms": _best_of(copy), "decode_ms": _best_of(parse)}


def _best_of(loop: Any) -> float:  # noqa: ANN401
    times = []
    for _ in range(5):
        started = time.perf_counter()
        loop()
        times.append(time.perf_counter() - started)
    return round(1000 * min(times), 1)


def moved(before: dict[str, float], after: dict[str, float]) -> float:
    """By what share the machine's pace has changed."""
    return max(abs(after[name] / before[name] - 1) for name in before)


def job(stack: Stack, **settings: str | float) -> Run:
    """Run the job as it is shipped, on a lake of its own beside the broker's folder."""
    folder = stack.folder / f"lake-{len(stack.runs)}"
    folder.mkdir()
    return stack.run("spark-job", DATA_DIR=str(folder), **settings)


def as_line(figures: dict[str, Any]) -> str:
    """Lay figures out on one line."""
    return json.dumps(figures).replace('"', "")
