"""Derived tables, read: their newest rows, the revisions of a row, and whether bars are what their ticks say.

The job appends revisions (finance_job.derived). Of a key (`symbol`, `ts`), the row with the largest `as_of` counts. A
`tick_count` of 0 withdraws the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from finance_lake.query.relations import parquet_files
from finance_lake.query.result import Result
from finance_lake.query.selection import quoted, selection, timestamp
from finance_lake.query.snapshot import data_files, opened
from finance_lake.query.times import parse_as_of, parse_time
from finance_storage.errors import NoLakeError, RequestError

if TYPE_CHECKING:
    import pyarrow as pa

    from finance_lake.lake import Lake
    from finance_lake.query.selection import Symbols
    from finance_lake.query.times import AsOf, Time
    from finance_storage.paths import LakePaths

BARS = "bars_1m"
SIZE = "1m"
SWITCH = (
    "the job writes it `BARS_SECONDS` after its start, unless that is 0. In an object store Spark needs further jars: see "
    "docs/OBJECT-STORE.md."
)


@dataclass(frozen=True)
class Reconciliation:
    """Stored bars compared with their ticks.

    Attributes:
        as_of: version of the table of ticks that the bars were computed from
        bars: how many there are
        differing: keys whose newest revision is not what the ticks say: symbol, ts, `stored`, `computed` (null if absent)

    """

    as_of: int
    bars: int
    differing: Result


def stored(paths: LakePaths, name: str = BARS) -> bool:
    """Whether the lake has a derived table of this name, with rows."""
    folder = paths.derived(name)
    table = opened(folder)
    return table is not None and bool(data_files(table, folder))


def newest(lake: Lake, name: str = BARS, *, as_of: AsOf | None = None) -> Result:
    """Return the newest row of each key, by symbol, then time; with `as_of`, the newest at that version or time of the ticks.

    Revisions are kept, so `as_of` may be older than the log of the ticks. Raises NoLakeError if there is no such table.
    """
    stored = _known(_rows(lake, name), as_of)
    rows = lake.engine.table(f"SELECT * FROM ({_newest(stored)}) WHERE tick_count > 0 ORDER BY symbol, ts")
    return Result(rows, _position(lake, stored))


def revisions(lake: Lake, symbol: str, ts: Time, name: str = BARS) -> Result:
    """Return all revisions of a key, the oldest first. Raises NoLakeError, RequestError for what is no symbol or time."""
    where = f"{selection(symbol).where} AND ts = {timestamp(parse_time(ts, 'ts'))}"
    stored = _rows(lake, name)
    rows = lake.engine.table(f"SELECT * FROM {stored} WHERE {where} ORDER BY as_of")
    return Result(rows, _position(lake, stored))


def bars(
    lake: Lake,
    symbols: Symbols | None = None,
    start: Time | None = None,
    end: Time | None = None,
    *,
    as_known_at: AsOf | None = None,
) -> Result:
    """Return the stored 1-minute bars, with the columns of `Lake.bars`, as known at a version or time of the ticks, or now.

    Raises NoLakeError if none were stored then, RequestError for what is no symbol or time.
    """
    wanted, rows = selection(symbols, start, end), _known(_rows(lake, BARS), as_known_at)
    found = lake.engine.table(f"SELECT * FROM ({_bars(rows)}) WHERE {wanted.on('ts')} ORDER BY symbol, ts")
    return Result(found, _position(lake, rows))


def reconcile(lake: Lake) -> Reconciliation:
    """Compute all 1-minute bars from the ticks again, as of the version that the stored ones have, and compare.

    Raises NoLakeError if there are no stored bars, RequestError where that version of the ticks can no longer be read.
    """
    files = _rows(lake, BARS)  # opened once: the job may append a revision meanwhile
    as_of = _position(lake, files)
    computed = lake.bars(SIZE, as_of=as_of).arrow
    different = f"""
        WITH stored AS ({_bars(files)}),
            s AS (SELECT symbol, ts, stored FROM stored), c AS (SELECT symbol, ts, computed FROM computed)
        SELECT symbol, ts, stored::VARCHAR AS stored, computed::VARCHAR AS computed FROM s FULL JOIN c USING (symbol, ts)
        WHERE stored IS DISTINCT FROM computed ORDER BY symbol, ts"""
    found = lake.engine.table(different, computed=computed)
    count = lake.engine.table(f"SELECT count(*) AS bars FROM ({_bars(files)})").column("bars")[0].as_py()
    return Reconciliation(as_of, count, Result(found, as_of))


def _bars(rows: str) -> str:
    # A volume beyond 64 bits is stored, and null in a query's bars.
    return f"""SELECT symbol, ts, open, high, low, close, TRY_CAST(volume AS BIGINT) AS volume, vwap, tick_count AS ticks
               FROM ({_newest(rows)}) WHERE tick_count > 0"""


def _known(rows: str, as_of: AsOf | None) -> str:
    if as_of is None:
        return rows
    target = parse_as_of(as_of)
    known = f"known_at <= {timestamp(target)}" if isinstance(target, datetime) else f"as_of <= {target}"
    return f"(SELECT * FROM {rows} WHERE {known})"


def _newest(rows: str) -> str:
    one = "QUALIFY row_number() OVER (PARTITION BY symbol, ts ORDER BY as_of DESC) = 1"
    return f"SELECT * FROM {rows} {one}"


def _position(lake: Lake, rows: str) -> int:
    table: pa.Table = lake.engine.table(f"SELECT max(as_of) AS as_of FROM {rows}")
    as_of = table.column("as_of")[0].as_py()
    if as_of is None:
        raise NoLakeError(f"The derived table has no rows yet, or had none then: {SWITCH}")
    return int(as_of)


def _rows(lake: Lake, name: str) -> str:
    if not name.isidentifier():
        raise RequestError(f"{quoted(name)} is not the name of a derived table.")
    folder = lake.paths.derived(name)
    table = opened(folder)
    if table is None:
        raise NoLakeError(f"There is no table at {folder}: {SWITCH}")
    paths = [file.path for file in data_files(table, folder)]
    if not paths:
        raise NoLakeError(f"finance_{name} has no rows yet: {SWITCH}")
    return parquet_files(paths)
