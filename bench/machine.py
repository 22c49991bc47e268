"""Measure the CPU and memory of processes, and the speed of the machine itself, which varies over a day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

VALUE = b'{"symbol":"AAPL","price":174.50,"size":100,"ts_event":1764000000000000000,"seq":1,"source":"sim-7"}'
CALIBRATION_ROUNDS = 5


def cpu_seconds(top: psutil.Process) -> float:
    """Return user and system time of a process and its descendants, including children that have ended and were reaped."""
    try:
        tree = [top, *top.children(recursive=True)]
        return sum(sum(process.cpu_times()[:4]) for process in tree)
    except psutil.NoSuchProcess:
        return 0.0


def memory_mb(top: psutil.Process) -> float:
    """Return the proportional resident memory (PSS) of a process and all its descendants, in MB."""
    try:
        return round(sum(process.memory_full_info().pss for process in [top, *top.children(recursive=True)]) / 1e6, 1)
    except psutil.NoSuchProcess:
        return 0.0


class Meter:
    """Measures CPU time and peak memory of a process tree; call `look` repeatedly while it runs."""

    def __init__(self, top: psutil.Process) -> None:
        """Start measuring."""
        self.peak_mb = 0.0
        self._top = top
        self._begin = self._cpu = cpu_seconds(top)
        self._memory_read_at = 0.0

    @property
    def cpu(self) -> float:
        """CPU seconds from the start to the last `look`."""
        return self._cpu - self._begin

    def look(self) -> None:
        """Read the CPU time and, at most once a second, the memory, which takes longer. A process that ends changes nothing."""
        self._cpu = max(self._cpu, cpu_seconds(self._top))
        if time.monotonic() - self._memory_read_at > 1:
            self.peak_mb, self._memory_read_at = max(self.peak_mb, memory_mb(self._top)), time.monotonic()


def calibrate() -> dict[str, float]:
    """Return the milliseconds of two fixed loops, copying memory and decoding JSON."""
    decode, block = msgspec.json.Decoder().decode, np.ones(8_000_000, np.int64)
    target = block.copy()

    def copy() -> None:
        for _ in range(5):
            np.copyto(target, block)

    def parse() -> None:
        for _ in range(100_000):
            decode(VALUE)

    return {"copy_ms": _best_ms(copy), "decode_ms": _best_ms(parse)}


def _best_ms(loop: Callable[[], None]) -> float:
    times = []
    for _ in range(CALIBRATION_ROUNDS):
        started = time.perf_counter()
        loop()
        times.append(time.perf_counter() - started)
    return round(1000 * min(times), 1)


def drift(calibrations: Sequence[dict[str, float]]) -> float:
    """Return by what share decoding was slower in the slowest calibration than in the fastest.

    Copying is recorded but ignored: on a machine with other users its speed changes by half within a minute, while the measured
    rates do not change.
    """
    times = [calibration["decode_ms"] for calibration in calibrations]
    return max(times) / min(times) - 1
