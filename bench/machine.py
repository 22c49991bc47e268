"""What processes take of the machine, and the machine's own pace, which is not the same all day."""

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
    """User and system time of a process and all its descendants, those included that have ended and were waited for."""
    try:
        tree = [top, *top.children(recursive=True)]
        return sum(sum(process.cpu_times()[:4]) for process in tree)
    except psutil.NoSuchProcess:
        return 0.0


def memory_mb(top: psutil.Process) -> float:
    """Proportional resident memory (PSS) of a process and all its descendants, in MB."""
    try:
        return round(sum(process.memory_full_info().pss for process in [top, *top.children(recursive=True)]) / 1e6, 1)
    except psutil.NoSuchProcess:
        return 0.0


class Meter:
    """CPU time and peak memory of a process tree, for whoever calls `look` while it runs."""

    def __init__(self, top: psutil.Process) -> None:
        """Begin to count."""
        self.peak_mb = 0.0
        self._top = top
        self._begin = self._cpu = cpu_seconds(top)
        self._weighed = 0.0

    @property
    def cpu(self) -> float:
        """Seconds of CPU since the beginning, as of the last look."""
        return self._cpu - self._begin

    def look(self) -> None:
        """Read the CPU time, and once a second the memory, which takes longer; a tree that falls apart changes nothing."""
        self._cpu = max(self._cpu, cpu_seconds(self._top))
        if time.monotonic() - self._weighed > 1:
            self.peak_mb, self._weighed = max(self.peak_mb, memory_mb(self._top)), time.monotonic()


def calibrate() -> dict[str, float]:
    """Time two fixed loops, copying memory and decoding JSON, in milliseconds."""
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
    """By what share decoding was slower in the slowest calibration than in the quickest.

    Copying is recorded, not judged: its pace changes by half within a minute on a machine whose memory others use too, while
    all that is measured here keeps its own.
    """
    times = [calibration["decode_ms"] for calibration in calibrations]
    return max(times) / min(times) - 1
