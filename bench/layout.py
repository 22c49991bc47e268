"""Measure query time and bytes per tick before and after maintenance: `python -m bench.layout [MILLIONS]` (10).

Before is the table as the stream writes it, with a file or two per batch. After is a closed date, sorted by symbol and time.
The query computes one symbol's 1-minute bars with DuckDB over the table's list of files, warm. The figures are the median of
all symbols and the slowest one, which is the most traded.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import structlog
from deltalake import DeltaTable

from bench.broker import publish, running_broker, start_job
from bench.figures import as_line
from finance_job.maintenance.compaction import Maintenance
from finance_job.writer import Writer
from finance_storage.delta_table import committed_offsets
from finance_storage.lake_identity import read_identity
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from pathlib import Path

TICKS = 10_000_000
RECORDS_A_BATCH = 50_000
ROUNDS = 15
# Minutes by division: `time_bucket` does calendar arithmetic for every row, which takes half of the time.
BARS = """
    select epoch_us(ts_event) // 60_000_000 as minute,
           arg_min(price, ts_event) as open, max(price) as high, min(price) as low, arg_max(price, ts_event) as close,
           sum(size) as volume, count(*) as ticks
    from read_parquet(?) where symbol = ? group by minute order by minute
"""


def look(table: Path, ticks: int) -> dict[str, Any]:
    """Measure the bars of each symbol and the size of the files."""
    live = DeltaTable(str(table))
    files = live.file_uris()
    size = sum(pa.table(live.get_add_actions()).column("size_bytes").to_pylist())
    with duckdb.connect() as connection:
        symbols = connection.execute("select distinct symbol from read_parquet(?)", [files]).fetchall()
        times = [_query_ms(connection, files, symbol) for (symbol,) in symbols]
    return {
        "query_ms": round(statistics.median(times), 1),
        "slowest_query_ms": round(max(times), 1),
        "files": len(files),
        "bytes_a_tick": round(size / ticks, 2),
    }


def _query_ms(connection: duckdb.DuckDBPyConnection, files: list[str], symbol: str) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        bars = connection.execute(BARS, [files, symbol]).fetchall()
        times.append(1000 * (time.perf_counter() - started))
    assert bars, f"{symbol} has no bar"
    return statistics.median(times[1:])


def before_and_after(ticks: int = TICKS) -> dict[str, Any]:
    """Fill a lake batch by batch and measure it, then run maintenance as if its date were closed and measure it again."""
    with running_broker() as stack:
        publish(stack, ticks)
        run, layout = start_job(stack, TRIGGER_SECONDS=0, MAX_OFFSETS_PER_TRIGGER=RECORDS_A_BATCH)
        wait_until(lambda: committed_offsets(layout.ticks) == stack.end_offsets(), 600, "the table has all")
        assert run.stop() == 0
        before, started = look(layout.ticks, ticks), time.monotonic()
        tomorrow = (datetime.now(UTC) + timedelta(days=2)).date()
        identity = read_identity(layout)
        assert identity is not None
        Maintenance(layout, Writer(layout, identity), nullcontext, structlog.get_logger(), lambda: tomorrow).all()
        return {"before": before, "after": look(layout.ticks, ticks), "sorting_seconds": round(time.monotonic() - started, 1)}


if __name__ == "__main__":
    print(as_line(before_and_after(int(sys.argv[1]) * 1_000_000 if len(sys.argv) > 1 else TICKS)))
