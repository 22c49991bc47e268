"""Measure `financelake import` of a CSV file into a running lake: `python -m bench.imports` prints rate, CPU and memory.

The time is from the start of the command until it has proven that each row is in the table; the job runs from before. Memory is
that of the command and its reader. The CPU of broker and job in that time is shown beside that of the import: together they
bound the rate on a machine of few cores. BENCH_ROWS and BENCH_READERS change what is run.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from bench.broker import READERS, running_broker, start_job
from bench.figures import as_line
from bench.machine import Meter
from tests.support.imports import FINANCELAKE, environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

ROWS = int(os.environ.get("BENCH_ROWS", "10000000"))
PART = 1_000_000
SYMBOLS = ["AAPL", "MSFT", "GOOG", "AMZN", "NVDA", "META", "TSLA", "IBM", "JPM", "XOM"]
BEGIN_NS = 1_704_465_000 * 10**9
POLL_SECONDS = 0.05
AIM_ROWS_PER_SECOND, AIM_MB = 250_000, 400


def write_file(file: Path, rows: int) -> None:
    """Write trades with times of nanoseconds, prices of cents and sizes, in random but fixed values."""
    random = np.random.default_rng(7)
    with file.open("wb") as stream:
        stream.write(b"ticker,timestamp,trade_price,qty\n")
        for first in range(0, rows, PART):
            count = min(PART, rows - first)
            cents = random.integers(1000, 50_000, count)
            columns = {
                "ticker": pa.array(SYMBOLS).take(pa.array(random.integers(0, len(SYMBOLS), count))),
                "timestamp": pa.array(BEGIN_NS + (first + np.arange(count)) * 1_000_003),
                "trade_price": dollars(cents),
                "qty": pa.array(random.integers(1, 1000, count)),
            }
            options = pa.csv.WriteOptions(include_header=False, quoting_style="none")
            pa.csv.write_csv(pa.table(columns), stream, options)


def dollars(cents: np.ndarray) -> pa.Array:
    """Return prices as text with two decimals."""
    parts = [pa.array(part).cast(pa.string()) for part in np.divmod(cents, 100)]
    return pc.binary_join_element_wise(parts[0], pc.utf8_lpad(parts[1], 2, "0"), ".")


def measure(stack: Stack, file: Path, reader: str) -> dict[str, Any]:
    """Import the file into a new lake; return the figures."""
    job = start_job(stack, READER=reader, BARS_SECONDS=0)
    job.run.wait_for("Running:")
    began = time.monotonic()
    process = subprocess.Popen(
        [FINANCELAKE, "import", str(file), "--yes"],
        env=environment(stack) | {"DATA_DIR": str(job.lake.root)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    meter = Meter(psutil.Process(process.pid))
    others = {
        "broker": Meter(stack.runs[0].role_process("kafka")),
        "job": Meter(psutil.Process(job.run.process.pid)),
    }
    while process.poll() is None:
        for each in (meter, *others.values()):
            each.look()
        time.sleep(POLL_SECONDS)
    seconds = time.monotonic() - began
    assert process.stdout
    assert process.returncode == 0, process.stdout.read()
    job.run.stop()
    return {
        "rows_per_second": round(ROWS / seconds),
        "seconds": round(seconds, 1),
        "cpu_us_a_row": round(meter.cpu / ROWS * 1e6, 2),
        **{f"cpu_us_a_row_of_{name}": round(each.cpu / ROWS * 1e6, 2) for name, each in others.items()},
        "peak_mb": meter.peak_mb,
        "bytes_a_row": round(file.stat().st_size / ROWS, 1),
    }


def main() -> None:
    """Print the figures with each reader of the job, and whether the aims are reached."""
    with running_broker() as stack:
        file = stack.folder / "trades.csv"
        write_file(file, ROWS)
        for number, reader in enumerate(READERS):
            if number:
                stack.topic = f"finance-{reader}"
                stack.make_topic()
            figures = measure(stack, file, reader)
            reached = figures["rows_per_second"] >= AIM_ROWS_PER_SECOND and figures["peak_mb"] <= AIM_MB
            print(f"import, READER={reader}: {as_line(figures)}{'' if reached else ' NOT reached'}", flush=True)


if __name__ == "__main__":
    main()
