"""How one commit changes the candles: a bar of the commit's ticks for each symbol and second.

Each bar has the order keys of its first and last tick. A viewer merges it into its candle, of any size; if the bar does not
come after everything that the viewer has, the viewer fetches the candles again. An update is therefore the same for all
viewers. It depends only on the log and the data files of its version, so it can be computed again after a restart.
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
    """A bar of the ticks of one commit, its values encoded as by `json_encoding.sent`.

    `first` and `last` are (ts_event in us, its nanoseconds, partition, offset). A volume beyond 64 bits is None. `turnover`,
    the sum of price times size, is for drawing the VWAP; None if a tick is too large.
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
    turnover: float | None = None


class CommitUpdate(msgspec.Struct):
    """One version of the table of ticks.

    Attributes:
        version: version of the table
        committed: commit time, in milliseconds since 1970
        rows: rows that it added
        total: rows of the table at this version
        lag: milliseconds from the arrival of its newest tick in the topic to the commit; None if it has no ticks
        operation: the writer's name for the commit
        reload: the bars are incomplete (rows were removed, or there are too many bars), so viewers must fetch again
        bars: sorted by second, then symbol

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
    """Return the update of a version; None if the log no longer has its entry."""
    entry = delta_log.entry(paths.ticks, version)
    if entry is None:
        return None
    update = CommitUpdate(
        version=version,
        committed=milliseconds(entry.committed),
        rows=entry.rows,
        total=total_rows(paths.ticks, entry),
        lag=None,
        operation=entry.operation,
    )
    if entry.deletes:
        update.reload = True
    elif entry.added:
        _fill(update, engine, entry)
    return update


def milliseconds(at: datetime) -> int:
    """Return a time as milliseconds since 1970, as in JavaScript."""
    return round(at.timestamp() * 1000)


def _fill(update: CommitUpdate, engine: Engine, entry: Entry) -> None:
    rows = source(TICKS, entry.added)
    partials = engine.table(f"""
        SELECT symbol, stretch AS second, {_place("opening")} AS first, {_place("closing")} AS last,
               opening.price AS open, high, low, closing.price AS close,
               TRY_CAST(volume AS BIGINT) AS volume, ticks,
               CASE WHEN largest <= {bars.MAX_SIZE} THEN notional::DOUBLE END AS turnover
        FROM ({bars.partial(rows, SECOND)}) ORDER BY second, symbol LIMIT {MAX_BARS + 1}""")
    newest = engine.table(f"SELECT epoch_ms(max(kafka_timestamp)) AS newest FROM {rows}").column("newest")[0].as_py()
    update.lag = None if newest is None else max(0, update.committed - newest)
    update.reload = partials.num_rows > MAX_BARS
    update.bars = [] if update.reload else [_bar(row) for row in partials.to_pylist()]


def _place(tick: str) -> str:
    """Return the SQL of a tick's order key, from the structs of `bars.partial`."""
    return f"[epoch_us({tick}.order_0), {tick}.order_1, {tick}.order_2, {tick}.order_3]"


def _bar(row: dict[str, Any]) -> Bar:
    prices = {name: price(row[name]) for name in ("open", "high", "low", "close")}
    return Bar(**{**row, **prices, "first": tuple(row["first"]), "last": tuple(row["last"]), "volume": sent(row["volume"])})
