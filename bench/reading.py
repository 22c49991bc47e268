"""Measure reads of the lake: `python -m bench.reading [MILLIONS]` (10). Builds a lake without a JVM and prints a table.

The lake has ticks of ten symbols over eight hours, in files of half a million as a drain writes them, then five minutes of
small commits as from the running job. `status` asks a real broker if the jars exist (`make local` fetches them). Cold is the
first query of a process, with the files in the machine's cache; warm is the median of later ones.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

import finance_lake
from bench import verify
from bench.broker import running_broker
from finance_storage.data_file import write_data_file
from finance_storage.paths import TICKS
from finance_storage.schemas import UTC_MICROSECONDS
from tests.support.lakes import ARRIVED, BuiltLake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from finance_lake.lake import Lake
    from finance_storage.data_file import WrittenFile

JARS = Path("build/jars/.ready")
HOURS = 8
FILE = 500_000
SMALL_COMMITS = 300
TICKS_A_COMMIT = 100
ROUNDS = 15
MILLISECOND_US = 1000


class Figure(NamedTuple):
    """A measurement in milliseconds, and its upper limit."""

    name: str
    cold: float
    warm: float
    most: float | None = None

    def __str__(self) -> str:
        """Return one line of the table."""
        target = f"at most {self.most:g}" if self.most else ""
        return f"{self.name:44} {self.cold:9.1f} {self.warm:9.1f}   {target}"


def build(root: Path, millions: int) -> BuiltLake:
    """Build the lake: large files as from a drain, then small commits as from the running job."""
    lake = BuiltLake(root, partitions=verify.PARTITIONS)
    total = millions * verify.BATCH
    pace_us = HOURS * 3600 * 1_000_000 // total
    for batch in range(millions):
        store(lake, _timed(verify.rows_of(batch), batch * verify.BATCH, pace_us), FILE)
    rows = verify.rows_of(millions).slice(0, SMALL_COMMITS * TICKS_A_COMMIT)
    rows = _timed(rows, total, 1_000_000 // TICKS_A_COMMIT, HOURS * 3600 * 1_000_000)
    for commit in range(SMALL_COMMITS):
        store(lake, rows.slice(commit * TICKS_A_COMMIT, TICKS_A_COMMIT), FILE)
    return lake


def store(lake: BuiltLake, rows: pa.Table, most: int) -> None:
    """Commit rows as a batch of the job does."""
    lake.plan_all(dict.fromkeys(lake.ends, rows.num_rows // verify.PARTITIONS))
    date = {"date": f"{ARRIVED:%Y-%m-%d}"}
    files: list[WrittenFile] = [
        write_data_file(rows.slice(begin, most), TICKS, lake.paths.ticks, date) for begin in range(0, rows.num_rows, most)
    ]
    lake.commit(TICKS, files)


def _timed(rows: pa.Table, first: int, pace_us: int, begin_us: int | None = None) -> pa.Table:
    """Set the times of the ticks, `pace_us` apart."""
    begin = first * pace_us if begin_us is None else begin_us
    moments = int(ARRIVED.timestamp()) * 1_000_000 + begin + np.arange(rows.num_rows) * pace_us
    column = pa.array(moments).cast(UTC_MICROSECONDS)
    for name in ("ts_event", "kafka_timestamp"):
        rows = rows.set_column(rows.column_names.index(name), rows.schema.field(name), column)
    return rows


def timed(name: str, ask: Callable[[], object], most: float | None = None, rounds: int = ROUNDS) -> Figure:
    """Time the first call of `ask` and the median of `rounds` more."""
    cold, *warm = (_milliseconds(ask) for _ in range(rounds + 1))
    return Figure(name, cold, statistics.median(warm), most)


def _milliseconds(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return 1000 * (time.perf_counter() - started)


def command(*arguments: str, port: int = 9) -> Callable[[], object]:
    """Return a function that runs `financelake` with these arguments and ignores its exit code."""
    words = [sys.executable, "-m", "finance_lake", *arguments]
    environment = os.environ | {"KAFKA_PORT": str(port), "KAFKA_BOOTSTRAP": ""}
    return lambda: subprocess.run(words, check=False, capture_output=True, env=environment)


def followed(lake: Lake, built: BuiltLake) -> Figure:
    """Measure the bars of one symbol right after a commit, as a live chart queries them."""
    rows = _timed(verify.rows_of(99).slice(0, TICKS_A_COMMIT), 0, 10_000, (HOURS * 3600 + SMALL_COMMITS) * 1_000_000)

    def ask() -> float:
        store(built, rows, FILE)
        return _milliseconds(lambda: lake.bars("1m", "AAPL"))

    first, *later = (ask() for _ in range(ROUNDS))
    return Figure("1-minute bars of one symbol after a commit", first, statistics.median(later))


@contextmanager
def broker() -> Iterator[int]:
    """Run a broker if its jars exist; yield its port, or one without a listener."""
    if not JARS.exists():
        print("(no jars: `status` is measured without a broker)")
        yield 9
        return
    with running_broker() as stack:
        yield stack.kafka_port


def main() -> None:
    """Build the lake, then measure and print the figures."""
    millions = int(next(iter(sys.argv[1:]), "10"))
    with tempfile.TemporaryDirectory(prefix="financelake-bench-") as folder, broker() as port:
        built = build(Path(folder), millions)
        lake = finance_lake.open(folder)
        print(f"{lake.count():,} ticks in {lake.version} commits; milliseconds{'':>6} {'cold':>9} {'warm':>9}")
        print(timed("lake.version", lambda: lake.version))
        print(timed("lake.latest()", lake.latest, 150))
        print(timed("1-minute bars of one symbol", lambda: lake.bars("1m", "AAPL"), 60))
        print(timed("1-minute bars of all symbols", lambda: lake.bars("1m"), 250))
        print(timed("5-second bars of one symbol", lambda: lake.bars("5s", "MSFT"), rounds=3))
        print(followed(lake, built))
        print(timed("SQL: SELECT max(price) FROM ticks", lambda: lake.sql("SELECT max(price) FROM ticks"), rounds=5))
        print(timed("financelake status", command("status", "--data", folder, port=port), 1000, rounds=5))
        print(timed("financelake --help", command("--help"), 300, rounds=5))
        print(timed("financelake bars AAPL", command("bars", "AAPL", "--data", folder), rounds=3))


if __name__ == "__main__":
    main()
