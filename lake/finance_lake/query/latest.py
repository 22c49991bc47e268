"""The newest tick of each symbol, without reading the whole table.

The symbols of a data file are read once per file and cached; this is cheap because the column is dictionary-encoded. The newest
ticks are searched from the newest file backward, until no remaining file can have newer ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from finance_lake.query.relations import ORDER, source
from finance_lake.query.selection import Selection
from finance_lake.query.snapshot import EVER
from finance_lake.query.values import values
from finance_storage.delta_table import TIME_STEP
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from finance_lake.query.engine import Engine
    from finance_lake.query.snapshot import Snapshot, SnapshotFile

# Files of the first round, and the growth per round: most symbols are found in the first few files. Opening a file costs as
# much as reading some thousand ticks.
FIRST_FILES = 10
TICKS_PER_FILE = 5_000
MORE = 5
MAX_NAMED_SYMBOLS = 1_000


def candidates(source: str) -> str:
    """Return the SQL of all ticks at the newest event time of each symbol: the newest tick is among them."""
    # Two passes, of which the first reads two columns, cost half as much as one pass over all columns.
    return f"""
        WITH newest_times AS MATERIALIZED (SELECT symbol, max(ts_event) AS ts_event FROM {source} GROUP BY ALL)
        SELECT ticks.* FROM {source} AS ticks JOIN newest_times USING (symbol, ts_event)"""


def newest(ticks: str) -> str:
    """Return the SQL of the newest tick of each symbol, by symbol."""
    order = ", ".join(f"{name} DESC" for name in ORDER)
    return f"SELECT * FROM ({ticks}) QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY {order}) = 1 ORDER BY symbol"


def symbols_of_files(paths: Sequence[str]) -> str:
    """Return the SQL of which symbols each of these files holds."""
    return f"SELECT DISTINCT filename, symbol FROM {source(TICKS, paths, with_file=True)}"


def search(engine: Engine, snapshot: Snapshot, holding: pa.Table, names: Iterable[str] = ()) -> pa.Table:
    """Find the newest tick of each symbol, or of those named; `holding` has the rows of `symbols_of_files` for all files."""
    requested = frozenset(names)
    if requested:  # a lake may have many more symbols than are requested
        holding = holding.filter(pc.is_in(holding.column("symbol"), pa.array(sorted(requested), pa.string())))
    symbols = _symbols_by_file(holding)
    left = sorted(snapshot.ticks, key=_reach, reverse=True)
    existing = frozenset[str]().union(*symbols.values())
    wanted = requested & existing if requested else existing
    found, most = engine.table(newest(f"FROM {source(TICKS, [], snapshot.later_ticks)}")), FIRST_FILES
    while wanted:
        count = _count(left, most)
        files, left, most = left[:count], left[count:], most * MORE
        here = wanted & _union(symbols, files)
        if here:
            since = _since(found, here, named=bool(requested) or len(here) <= MAX_NAMED_SYMBOLS)
            rows = f"(SELECT * FROM {source(TICKS, [file.path for file in files], snapshot.later_ticks)} WHERE {since.where})"
            found = engine.table(newest(f"FROM found UNION ALL FROM ({candidates(rows)})"), found=found)
        wanted = _unsettled(wanted, _newest_times(found), left, symbols)
    return found


def _count(files: Sequence[SnapshotFile], most: float) -> int:
    """Return how many files to read next, at least one. A large file counts as several."""
    for number, file in enumerate(files, 1):
        most -= 1 + file.rows / TICKS_PER_FILE
        if most <= 0:
            return number
    return len(files)


def _since(found: pa.Table, symbols: frozenset[str], *, named: bool) -> Selection:
    """Select ticks that can be newer than those found: none older than the oldest of these symbols' newest ticks.

    Without `named` the symbols are not filtered: DuckDB compares each row with each name, and other symbols do no harm.
    """
    newest_times = _newest_times(found)
    start = min(newest_times[symbol] for symbol in symbols) if symbols <= newest_times.keys() else None
    return Selection(tuple(sorted(symbols)) if named else (), start)


def _unsettled(
    wanted: frozenset[str],
    newest_times: Mapping[str, datetime],
    left: Sequence[SnapshotFile],
    symbols: Mapping[str, frozenset[str]],
) -> frozenset[str]:
    """Return the symbols for which a remaining file may hold a newer tick, or one of the same time."""
    return frozenset(
        symbol
        for file in left
        for symbol in symbols.get(file.path, frozenset()) & wanted
        if symbol not in newest_times or _reach(file) >= newest_times[symbol]
    )


def _reach(file: SnapshotFile) -> datetime:
    return EVER if file.last_event is None else file.last_event + TIME_STEP


def _newest_times(found: pa.Table) -> dict[str, datetime]:
    return dict(zip(found.column("symbol").to_pylist(), values(found.column("ts_event")), strict=True))


def _symbols_by_file(holding: pa.Table) -> dict[str, frozenset[str]]:
    grouped: dict[str, set[str]] = {}
    for path, symbol in zip(holding.column("filename").to_pylist(), holding.column("symbol").to_pylist(), strict=True):
        grouped.setdefault(path, set()).add(symbol)
    return {path: frozenset(symbols) for path, symbols in grouped.items()}


def _union(symbols: Mapping[str, frozenset[str]], files: Iterable[SnapshotFile]) -> frozenset[str]:
    return frozenset[str]().union(*(symbols.get(file.path, frozenset()) for file in files))
