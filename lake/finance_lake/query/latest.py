"""The newest tick of each symbol.

The table is not read for it: which symbols a data file holds is read once a file and kept, and cheap, since that column is a
dictionary; their newest ticks are looked for from the newest file backward, until no file that is left reaches up to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from finance_lake.query.relations import ORDER, source
from finance_lake.query.selection import Selection
from finance_lake.query.snapshot import EVER, TIME_STEP
from finance_lake.query.values import values
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from finance_lake.query.engine import Engine
    from finance_lake.query.snapshot import Snapshot, SnapshotFile

# How many files are looked at first, and how many times more next: most symbols are settled by little. A file costs as much to
# open as some thousand ticks to read.
FIRST_FILES = 10
TICKS_A_FILE = 5_000
MORE = 5
MAX_NAMED_SYMBOLS = 1_000


def candidates(source: str) -> str:
    """Give the SQL of ticks among which the newest are: those of the newest moment of each symbol."""
    # Two looks at few columns cost half of one that carries all of them along.
    return f"""
        WITH moments AS MATERIALIZED (SELECT symbol, max(ts_event) AS ts_event FROM {source} GROUP BY ALL)
        SELECT ticks.* FROM {source} AS ticks JOIN moments USING (symbol, ts_event)"""


def newest(ticks: str) -> str:
    """Give the SQL of the newest tick of each symbol, by symbol."""
    order = ", ".join(f"{name} DESC" for name in ORDER)
    return f"SELECT * FROM ({ticks}) QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY {order}) = 1 ORDER BY symbol"


def held(paths: Sequence[str]) -> str:
    """Give the SQL of which symbols each of these files holds."""
    return f"SELECT DISTINCT filename, symbol FROM {source(TICKS, paths, with_file=True)}"


def search(engine: Engine, snapshot: Snapshot, holding: pa.Table, names: Iterable[str] = ()) -> pa.Table:
    """Find the newest tick of each symbol, or of those named; `holding` is what `held` says of the files."""
    asked = frozenset(names)
    if asked:  # a lake may have many more symbols than anybody asks for
        holding = holding.filter(pc.is_in(holding.column("symbol"), pa.array(sorted(asked), pa.string())))
    symbols = _symbols_by_file(holding)
    left = sorted(snapshot.ticks, key=_reach, reverse=True)
    there = frozenset[str]().union(*symbols.values())
    wanted = asked & there if asked else there
    found, most = engine.table(newest(f"FROM {source(TICKS, [], snapshot.later_ticks)}")), FIRST_FILES
    while wanted:
        count = _count(left, most)
        looked, left, most = left[:count], left[count:], most * MORE
        here = wanted & _union(symbols, looked)
        if here:
            since = _since(found, here, named=bool(asked) or len(here) <= MAX_NAMED_SYMBOLS)
            rows = f"(SELECT * FROM {source(TICKS, [file.path for file in looked], snapshot.later_ticks)} WHERE {since.where})"
            found = engine.table(newest(f"FROM found UNION ALL FROM ({candidates(rows)})"), found=found)
        wanted = _unsettled(wanted, _moments(found), left, symbols)
    return found


def _count(files: Sequence[SnapshotFile], most: float) -> int:
    """How many files may be looked at, where a large one counts as several; one at least."""
    for number, file in enumerate(files, 1):
        most -= 1 + file.rows / TICKS_A_FILE
        if most <= 0:
            return number
    return len(files)


def _since(found: pa.Table, symbols: frozenset[str], *, named: bool) -> Selection:
    """Select what can be newer than what was found: nothing that is older than the oldest of these symbols' ticks.

    Too many symbols are not `named`: DuckDB compares each row with each name, and the newest ticks of others do no harm.
    """
    moments = _moments(found)
    start = min(moments[symbol] for symbol in symbols) if symbols <= moments.keys() else None
    return Selection(tuple(sorted(symbols)) if named else (), start)


def _unsettled(
    wanted: frozenset[str],
    moments: Mapping[str, datetime],
    left: Sequence[SnapshotFile],
    symbols: Mapping[str, frozenset[str]],
) -> frozenset[str]:
    """Give the symbols of which a file that is left may hold a newer tick, or one of the same moment."""
    return frozenset(
        symbol
        for file in left
        for symbol in symbols.get(file.path, frozenset()) & wanted
        if symbol not in moments or _reach(file) >= moments[symbol]
    )


def _reach(file: SnapshotFile) -> datetime:
    return EVER if file.last_event is None else file.last_event + TIME_STEP


def _moments(found: pa.Table) -> dict[str, datetime]:
    return dict(zip(found.column("symbol").to_pylist(), values(found.column("ts_event")), strict=True))


def _symbols_by_file(holding: pa.Table) -> dict[str, frozenset[str]]:
    grouped: dict[str, set[str]] = {}
    for path, symbol in zip(holding.column("filename").to_pylist(), holding.column("symbol").to_pylist(), strict=True):
        grouped.setdefault(path, set()).add(symbol)
    return {path: frozenset(symbols) for path, symbols in grouped.items()}


def _union(symbols: Mapping[str, frozenset[str]], files: Iterable[SnapshotFile]) -> frozenset[str]:
    return frozenset[str]().union(*(symbols.get(file.path, frozenset()) for file in files))
