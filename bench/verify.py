"""Measure `financelake verify`: `python -m bench.verify [MILLIONS]` (10). Builds a lake, verifies it and prints one line.

The lake has four partitions, batches of a million rows made column by column and written as the job does, and a ledger.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from finance_storage.data_file import write_data_file
from finance_storage.paths import TICKS
from finance_storage.schemas import PRICE, TICK_FIELDS, UTC_MICROSECONDS
from tests.support.lakes import ARRIVED, TOPIC, BuiltLake

if TYPE_CHECKING:
    from finance_storage.data_file import WrittenFile

PARTITIONS = 4
BATCH = 1_000_000
SOURCE = "sim-7-20261124T120000Z-3fa9c1"
SYMBOLS = pa.array(["AAPL", "MSFT", "GOOG", "AMZN", "NVDA", "META", "TSLA", "IBM", "JPM", "XOM"])


def rows_of(batch: int) -> pa.Table:
    """Make a batch of ticks, column by column."""
    random = np.random.default_rng(batch)
    numbers = np.arange(batch * BATCH, (batch + 1) * BATCH)
    arrived = pa.array(int(ARRIVED.timestamp()) * 1_000_000 + numbers % 1_000_000).cast(UTC_MICROSECONDS)
    columns = {
        "symbol": SYMBOLS.take(pa.array(random.integers(0, len(SYMBOLS), BATCH))),
        "price": _prices(random.integers(1, 10**12, BATCH)),
        "size": pa.array(random.integers(1, 1000, BATCH)),
        "ts_event": arrived,
        "ts_event_nanos": pa.array((numbers % 1000).astype(np.int16)),
        "seq": pa.array(numbers),
        "source": pa.repeat(SOURCE, BATCH),
        "kafka_partition": pa.array((numbers % PARTITIONS).astype(np.int32)),
        "kafka_offset": pa.array(numbers // PARTITIONS),
        "kafka_timestamp": arrived,
        "ingested_at": pa.repeat(arrived[0], BATCH),
    }
    return pa.table(columns, schema=TICK_FIELDS)


def _prices(unscaled: np.ndarray) -> pa.Array:
    words = np.zeros(2 * len(unscaled), np.int64)
    words[::2] = unscaled
    return pa.Array.from_buffers(PRICE, len(unscaled), [None, pa.py_buffer(words)])


def build(root: Path, batches: int) -> BuiltLake:
    """Build a lake of some batches, with a ledger."""
    lake = BuiltLake(root, partitions=PARTITIONS)
    for batch in range(batches):
        lake.plan_all(dict.fromkeys(lake.ends, BATCH // PARTITIONS))
        lake.commit(TICKS, _files(lake, batch))
    ledger = lake.paths.ledgers / f"{SOURCE}.jsonl"
    ledger.parent.mkdir()
    lines = [{"source": SOURCE, "topic": TOPIC}, {"acknowledged": [[0, batches * BATCH - 1]]}]
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return lake


def _files(lake: BuiltLake, batch: int) -> list[WrittenFile]:
    rows = rows_of(batch)
    halves = (rows.slice(0, BATCH // 2), rows.slice(BATCH // 2))
    date = {"date": f"{ARRIVED:%Y-%m-%d}"}
    return [write_data_file(half, TICKS, lake.paths.ticks, date) for half in halves]


def main() -> None:
    """Build the lake, verify it and print seconds and peak memory."""
    millions = int(next(iter(sys.argv[1:]), "10"))
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder:
        build(Path(folder), millions * 1_000_000 // BATCH)
        started = time.monotonic()
        subprocess.run([sys.executable, "-m", "finance_lake", "verify", "--no-broker", "--data", folder], check=True)
        seconds = time.monotonic() - started
    peak_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"rows={millions}M seconds={seconds:.1f} peak_mb={peak_mb:.0f}")


if __name__ == "__main__":
    main()
