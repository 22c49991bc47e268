"""The watch list: the newest tick of each symbol, its change against the previous close, and its last day as a line."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from finance_lake.dashboard.bar_size import SIZES
from finance_lake.dashboard.json_encoding import sent
from finance_lake.query import values
from finance_lake.query.selection import UNIT_US
from finance_lake.query.values import EPOCH, MICROSECOND
from finance_role.text import price
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from finance_lake.lake import Lake

MAX_SYMBOLS = 2_000
MAX_LINES = 100
POINTS = 60
DAY = timedelta(days=1)
DAY_US = UNIT_US["d"]
# Days before today in which a previous close is looked for: the last two are most often enough, a week spans a long weekend.
LOOK_BACK = (2, 8)


def latest(lake: Lake, as_of: str | None) -> dict[str, Any]:
    """Return each symbol's newest tick, its UTC day so far, and its change, for at most MAX_SYMBOLS.

    `change` and `percent` are since `base`: the close of the symbol's last day before, within a week, else its first tick of
    the day; `against` says which of them (`close`, `open`).
    """
    version = lake.version_at(as_of)
    names = lake.symbols(version, limit=MAX_SYMBOLS + 1)
    # Symbols are named only if the list is cut: DuckDB compares each row with each name.
    shown = names[:MAX_SYMBOLS] if len(names) > MAX_SYMBOLS else []
    ticks = lake.latest(*shown, as_of=version)
    begin = pc.min(ticks.arrow.column("ts_event").cast(pa.int64())).as_py()
    if begin is None:
        return {"version": version, "symbols": [], "cut": False}
    start = EPOCH + begin // DAY_US * DAY
    days = lake.bars("1d", shown or None, start, as_of=version).arrow
    today = {row["symbol"]: row for row in values.rows(last_of_each(days))}
    closes = _previous_closes(lake, shown, today, version)
    entries = [_entry(newest(row), today[row["symbol"]], closes.get(row["symbol"])) for row in ticks.rows()]
    return {"version": version, "symbols": entries, "cut": len(names) > MAX_SYMBOLS}


def sparklines(lake: Lake, symbols: Sequence[str], as_of: str | None) -> dict[str, Any]:
    """Return the closes of each symbol over the day before the newest tick of them all, at most about POINTS of each."""
    if len(symbols) > MAX_LINES:
        raise RequestError(f"{len(symbols):,} symbols are too many for one request: at most {MAX_LINES}.")
    version = lake.version_at(as_of)
    ticks = lake.latest(*symbols, as_of=version).arrow.column("ts_event").cast(pa.int64()) if symbols else None
    if ticks is None or not len(ticks):
        return {"version": version, "lines": {}}
    end = EPOCH + pc.max(ticks).as_py() * MICROSECOND
    bars = lake.bars("1m", symbols, end - DAY, as_of=version).arrow
    minutes = bars.column("ts").cast(pa.int64())
    span = (pc.max(minutes).as_py() - pc.min(minutes).as_py()) // UNIT_US["s"] if len(minutes) else 0
    size = next((size for size, step in SIZES.items() if step >= SIZES["1m"] and span / step <= POINTS), "1h")
    lines: dict[str, dict[int, str]] = {}
    for symbol, at, close in zip(*(bars.column(name).to_pylist() for name in ("symbol", "ts", "close")), strict=True):
        lines.setdefault(symbol, {})[int(at.timestamp()) // SIZES[size]] = price(close)
    return {"version": version, "size": size, "lines": {symbol: list(line.items()) for symbol, line in lines.items()}}


def last_of_each(bars: pa.Table) -> pa.Table:
    """Return the newest bar of each symbol. The bars are sorted by symbol, then time."""
    ends = pc.cumulative_sum(pc.value_counts(bars.column("symbol").combine_chunks()).field("counts"))
    return bars.take(pc.subtract(ends, 1))


def newest(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a symbol's newest tick as it is sent, with its order key as `last`."""
    place = (row["ts_event"] - EPOCH) // MICROSECOND, row["ts_event_nanos"] or 0, row["kafka_partition"], row["kafka_offset"]
    return {
        "symbol": row["symbol"],
        "price": price(row["price"]),
        "size": sent(row["size"]),
        "ts": sent(row["ts_event"]),
        "last": place,
    }


def stamp(text: str) -> int:
    """Return a bar's begin in seconds since 1970, as the chart needs it."""
    return int(datetime.fromisoformat(text).timestamp())


def _previous_closes(
    lake: Lake, shown: Sequence[str], today: Mapping[str, Mapping[str, Any]], version: int
) -> dict[str, Decimal]:
    """Return the close of the last day before each symbol's own day."""
    closes: dict[str, Decimal] = {}
    first = min(day["ts"] for day in today.values())
    end = max(day["ts"] for day in today.values())
    for days in LOOK_BACK:
        bars = lake.bars("1d", shown or None, first - days * DAY, end, as_of=version).arrow.select(["symbol", "ts", "close"])
        for row in values.rows(bars):
            if row["ts"] < today[row["symbol"]]["ts"]:
                closes[row["symbol"]] = row["close"]
        if closes.keys() >= today.keys():
            break
    return closes


def _entry(tick: Mapping[str, Any], day: Mapping[str, Any], close: Decimal | None) -> dict[str, Any]:
    now, base = Decimal(tick["price"]), day["open"] if close is None else close
    return {
        **tick,
        "day": stamp(sent(day["ts"])),
        "open": price(day["open"]),
        "high": price(day["high"]),
        "low": price(day["low"]),
        "volume": sent(day["volume"]),
        "ticks": day["ticks"],
        "base": price(base),
        "against": "open" if close is None else "close",
        "change": price(now - base),
        "percent": f"{(now - base) / base * 100:.2f}",
    }
