"""What one commit did to the candles: for each symbol and second that it has ticks of, the bar of just these ticks.

Such a bar carries the order keys of its first and last tick. A viewer adds it to the candle that it has, of whatever size;
where it does not come after all that the viewer knows, the viewer asks for the candles anew. So the change is the same for all
viewers, whatever they look at, and follows from the log and the files of its version alone: it can be made again after a
restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from finance_lake.dashboard.json_encoding import sent
from finance_lake.query import bars
from finance_lake.query.history import total_rows
from finance_lake.query.relations import source
from finance_lake.query.selection import UNIT_US
from finance_role.text import price
from finance_storage import delta_log
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from datetime import datetime

    from finance_lake.query.engine import Engine
    from finance_storage.delta_log import Entry
    from finance_storage.paths import LakePaths

MAX_BARS = 2_000
SECOND = UNIT_US["s"]


class Bar(msgspec.Struct, array_like=True):
    """A bar of the ticks of one commit, its values as `wire` sends them.

    `first` and `last` are (ts_event in us, its nanoseconds, partition, offset); a volume beyond 64 bits is None.
    """

    symbol: str
    second: int
    first: tuple[int, int, int, int]
    last: tuple[int, int, int, int]
    open: str
    high: str
    low: str
    close: str
    volume: int | str | None
    ticks: int


class CommitUpdate(msgspec.Struct):
    """One version of the table of ticks.

    Attributes:
        version: of the table
        committed: when, milliseconds since 1970
        rows: that it added
        total: rows of the table then
        lag: milliseconds from the arrival of the newest of its ticks in the topic to the commit; None without a tick
        operation: as its writer calls it
        reload: the bars do not say it all (rows were taken away, or there are too many): ask anew
        bars: by symbol and second

    """

    version: int
    committed: int
    rows: int
    total: int
    lag: int | None
    operation: str
    reload: bool = False
    bars: list[Bar] = []


def change(paths: LakePaths, engine: Engine, version: int) -> CommitUpdate | None:
    """Say what a version did; None where the log no longer has its entry."""
    entry = delta_log.entry(paths.ticks, version)
    if entry is None:
        return None
    said = CommitUpdate(
        version=version,
        committed=milliseconds(entry.committed),
        rows=entry.rows,
        total=total_rows(paths.ticks, entry),
        lag=None,
        operation=entry.operation,
    )
    if entry.deletes:
        said.reload = True
    elif entry.added:
        _fill(said, engine, entry)
    return said


def milliseconds(at: datetime) -> int:
    """Give a moment as programs in a browser do."""
    return round(at.timestamp() * 1000)


def _fill(said: CommitUpdate, engine: Engine, entry: Entry) -> None:
    rows = source(TICKS, entry.added)
    found = engine.table(f"""
        SELECT symbol, stretch AS second, {_place("opening")} AS first, {_place("closing")} AS last,
               opening.price AS open, high, low, closing.price AS close,
               TRY_CAST(volume AS BIGINT) AS volume, ticks
        FROM ({bars.partial(rows, SECOND)}) ORDER BY second, symbol LIMIT {MAX_BARS + 1}""")
    newest = engine.table(f"SELECT epoch_ms(max(kafka_timestamp)) AS newest FROM {rows}").column("newest")[0].as_py()
    said.lag = None if newest is None else max(0, said.committed - newest)
    said.reload = found.num_rows > MAX_BARS
    said.bars = [] if said.reload else [_bar(row) for row in found.to_pylist()]


def _place(tick: str) -> str:
    """Give the SQL of the place of a tick among those of its symbol, from what `bars.partial` has of it."""
    return f"[epoch_us({tick}.order_0), {tick}.order_1, {tick}.order_2, {tick}.order_3]"


def _bar(row: dict[str, Any]) -> Bar:
    prices = {name: price(row[name]) for name in ("open", "high", "low", "close")}
    return Bar(**{**row, **prices, "first": tuple(row["first"]), "last": tuple(row["last"]), "volume": sent(row["volume"])})
