"""A selection of ticks by symbol and time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from finance_contract.tick import SYMBOL, SYMBOL_RULE
from finance_lake.query.times import parse_time
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, tzinfo

    from finance_lake.query.times import Time

    Symbols = str | Iterable[str | Iterable[str]]

SIZE = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
UNIT_US = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
MAX_STEP_US = UNIT_US["d"]


@dataclass(frozen=True)
class Selection:
    """Ticks of some symbols (empty: all), with `start <= ts_event < end`; None for either means no bound."""

    symbols: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None

    @property
    def where(self) -> str:
        """The condition as SQL."""
        return self.on("ts_event")

    def on(self, time: str) -> str:
        """Return the condition as SQL for rows that have their time in another column."""
        terms = [f"symbol IN ({', '.join(map(quoted, self.symbols))})"] if self.symbols else []
        terms += [f"{time} >= {timestamp(self.start)}"] if self.start else []
        terms += [f"{time} < {timestamp(self.end)}"] if self.end else []
        return " AND ".join(terms) or "true"


def selection(
    symbols: Symbols | None = (), start: Time | None = None, end: Time | None = None, zone: tzinfo = UTC
) -> Selection:
    """Parse a selection; times without a zone are in `zone`. Raises RequestError for an invalid symbol or time."""
    names = tuple(dict.fromkeys(_names(symbols or ())))
    first = None if start is None else parse_time(start, "start", zone)
    last = None if end is None else parse_time(end, "end", zone)
    if first and last and first > last:
        raise RequestError(f"start={first.isoformat()} is after end={last.isoformat()}.")
    return Selection(names, first, last)


def step_us(size: str) -> int:
    """Parse a bar size such as `1m` and return microseconds. Raises RequestError."""
    match = SIZE.fullmatch(size) if isinstance(size, str) else None
    step = int(match[1]) * UNIT_US[match[2]] if match else 0
    if not 0 < step <= MAX_STEP_US:
        raise RequestError(
            f"size={size!r} is not a bar size: use a number and s, m, h or d, one day at most, such as 1s, 5m, 1h or 1d."
        )
    return step


def quoted(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """Return a column name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def timestamp(at: datetime) -> str:
    """Return a time as an SQL literal."""
    return f"TIMESTAMPTZ '{at:%Y-%m-%d %H:%M:%S.%f}+00'"


def _names(symbols: Symbols) -> Iterator[str]:
    for item in (symbols,) if isinstance(symbols, str) else symbols:
        if isinstance(item, Iterable) and not isinstance(item, str):
            yield from _names(item)
        else:
            _require_symbol(item)
            yield item


def _require_symbol(name: str) -> None:
    if isinstance(name, str) and SYMBOL.fullmatch(name):
        return
    raise RequestError(f"{name!r} is not a symbol: {SYMBOL_RULE}.")
