"""Convert one row to a tick. This is the reference: `convert` does the same to whole columns where they are clearly valid."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from finance_contract import Malformed, Reason, Tick, decode, encode
from finance_producer.reading.bar_order import require_in_order
from finance_producer.reading.prices import price_of_float, price_of_text, size_of_text
from finance_producer.reading.times import nanoseconds
from finance_role.text import without_guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_producer.reading.plan import Plan

MAX_CELL_CHARS = 256  # no symbol, number or time is longer


class Cells(NamedTuple):
    """The cells of one row: text, or what a typed column has; None if empty."""

    symbol: object
    prices: Sequence[object]
    size: object
    ts_event: object
    nanos: object


class Fields(NamedTuple):
    """The fields of one row's tick or ticks."""

    symbol: str
    prices: list[Decimal]
    size: int | None
    ts_event: int | None


def tick_of(cells: Cells, plan: Plan) -> Fields:
    """Convert one row. Raises Malformed with the contract's reason if it is not a valid tick."""
    if any(isinstance(cell, str) and len(cell) > MAX_CELL_CHARS for cell in (*cells[:1], *cells.prices, *cells[2:])):
        raise Malformed(Reason.NOT_AN_OBJECT, f"a cell of more than {MAX_CELL_CHARS} characters")
    # An export to CSV guards a symbol such as @ES#, which a spreadsheet would run, with an apostrophe.
    symbol = without_guard(text_of(cells.symbol) or "")
    if not symbol:
        raise Malformed(Reason.SYMBOL_MISSING, "empty")
    prices = [_price(price, plan) for price in cells.prices]
    if plan.columns.ohlc:
        require_in_order(prices)
    fields = Fields(symbol, prices, _size(cells.size, plan), _ts_event(text_of(cells.ts_event), text_of(cells.nanos), plan))
    for place, price in enumerate(prices):
        # The decoder that the job uses.
        decode(encode(Tick(symbol, price, fields.size, None if fields.ts_event is None else fields.ts_event + place)))
    return fields


def text_of(cell: object) -> str | None:
    """Return a cell as stripped text; None if nothing is left."""
    return None if cell is None else str(cell).strip() or None


def _price(cell: object, plan: Plan) -> Decimal:
    return price_of_float(cell, plan.price) if isinstance(cell, float) else price_of_text(text_of(cell), plan.price)


def _size(cell: object, plan: Plan) -> int | None:
    if isinstance(cell, float):
        if cell != cell:  # noqa: PLR0124 (NaN means that a data frame has no value)
            return None
        if not cell.is_integer():
            raise Malformed(Reason.SIZE_TYPE, str(cell))
        return int(Decimal(int(cell)) * plan.size.scale)
    return size_of_text(text_of(cell), plan.size)


def _ts_event(text: str | None, nanos: str | None, plan: Plan) -> int | None:
    if text is None:
        if nanos is not None:
            raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event_nanos {nanos} without a ts_event")
        return None
    try:
        time_ns = nanoseconds(text, plan.time)
    except ValueError as error:
        raise Malformed(Reason.TS_EVENT_TYPE, str(error) if "clocks" in str(error) else text) from None
    return time_ns if nanos is None else _with_nanos(time_ns, nanos)


def _with_nanos(time_ns: int, nanos: str) -> int:
    """Add the nanoseconds beyond a time in microseconds, which the lake stores and exports separately."""
    if not nanos.isascii() or not nanos.isdigit() or len(nanos) > 3:  # noqa: PLR2004
        raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event_nanos {nanos} is not from 0 to 999")
    rest = time_ns % 1000
    if rest not in {0, int(nanos)}:
        raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event ends with {rest} nanoseconds, ts_event_nanos says {nanos}")
    return time_ns - rest + int(nanos)


@lru_cache(maxsize=100_000)
def is_symbol(symbol: str) -> bool:
    """Whether the contract accepts a symbol."""
    try:
        return decode(encode(Tick(symbol, Decimal(1)))).symbol == symbol
    except Malformed:
        return False
