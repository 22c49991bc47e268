"""Measure the way from the lake to arrays of floats: `python -m bench.research [MILLIONS]` (10).

Prints the median and the fastest of five, and the CPU seconds, of `Result.df(floats=True)`, `.pl(floats=True)` and
`.to_numpy()` over all ticks of a lake as in `bench.reading`. Reading the ticks is shown by itself: a result is read once.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import finance_lake
from bench.figures import as_line
from bench.reading import build

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
MAX_FRAME_SECONDS = 1.5


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes, in wall time."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def cpu_seconds(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, of all threads, which other programs on the machine change little."""
    started = time.process_time()
    call()
    return time.process_time() - started


def main() -> None:
    """Print the figures, and whether the aim is reached."""
    millions = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        root = Path(folder) / "data"
        build(root, millions)
        with finance_lake.open(root) as lake:
            result = lake.ticks()
            print(f"read {result.arrow.num_rows:,} ticks: {seconds(lambda: lake.ticks().arrow):.2f} s", flush=True)
            calls: dict[str, Callable[[], object]] = {
                "df(floats=True)": lambda: result.df(floats=True, tz="America/New_York"),
                "pl(floats=True)": lambda: result.pl(floats=True, tz="America/New_York"),
                "to_numpy()": result.to_numpy,
            }
            for name, call in calls.items():
                call()  # imports pandas or Polars
                measured = sorted(seconds(call) for _ in range(ROUNDS))
                figures = {
                    "seconds": round(statistics.median(measured), 2),
                    "fastest": round(measured[0], 2),
                    "cpu_seconds": round(cpu_seconds(call), 2),
                }
                missed = name.startswith("df") and figures["seconds"] > MAX_FRAME_SECONDS
                print(f"{name}: {as_line(figures)}{' NOT reached' if missed else ''}", flush=True)


if __name__ == "__main__":
    main()
