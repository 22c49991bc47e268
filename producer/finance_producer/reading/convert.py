"""Convert rows to ticks: whole columns where they are clearly valid, else row by row with the contract's own decoder.

The columns may only accept rows, and must then give what `tick_of` gives. A differential test checks this.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import Malformed, Reason, Tick, decode, encode
from finance_contract.tick import EVENT_TIMES_NS
from finance_producer.reading.columns import NANOS, PRICE, SIZE, SYMBOL, TIME
from finance_producer.reading.fast_times import times_ns
from finance_producer.reading.plan import is_text
from finance_producer.reading.prices import only, plain_prices, plain_sizes, price_of_float, price_of_text, size_of_text
from finance_producer.reading.times import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from finance_producer.reading.csv_file import Block
    from finance_producer.reading.plan import Plan

    Mask = NDArray[np.bool_]
    Integers = NDArray[np.int64]

MAX_CELL_CHARS = 256  # no symbol, number or time is longer
SCHEMA = pa.schema(
    {"symbol": pa.dictionary(pa.int32(), pa.string()), "price": pa.string(), "size": pa.string(), "ts_event": pa.int64()}
)


class Converted(NamedTuple):
    """Rows of a file as ticks.

    Attributes:
        ticks: the ticks in the order of the file (SCHEMA): prices and sizes as the text of JSON numbers, times in nanoseconds
        rows: number of rows that became ticks
        left_out: the lines of the others, each with its reason code and a hint
        done: how much of the file is read, from 0 to 1

    """

    ticks: pa.RecordBatch
    rows: int
    left_out: list[tuple[int, str]]
    done: float = 0.0


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
    symbol = _text(cells.symbol)
    if symbol is None:
        raise Malformed(Reason.SYMBOL_MISSING, "empty")
    prices = [_price(price, plan) for price in cells.prices]
    fields = Fields(symbol, prices, _size(cells.size, plan), _ts_event(_text(cells.ts_event), _text(cells.nanos), plan))
    for place, price in enumerate(prices):
        # The decoder that the job uses.
        decode(encode(Tick(symbol, price, fields.size, None if fields.ts_event is None else fields.ts_event + place)))
    return fields


def _text(cell: object) -> str | None:
    return None if cell is None else str(cell).strip() or None


def _price(cell: object, plan: Plan) -> Decimal:
    return price_of_float(cell, plan.price) if isinstance(cell, float) else price_of_text(_text(cell), plan.price)


def _size(cell: object, plan: Plan) -> int | None:
    if isinstance(cell, float):
        if cell != cell:  # noqa: PLR0124 (NaN means that a data frame has no value)
            return None
        if not cell.is_integer():
            raise Malformed(Reason.SIZE_TYPE, str(cell))
        return int(Decimal(int(cell)) * plan.size.scale)
    return size_of_text(_text(cell), plan.size)


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


# ---- whole columns ------------------------------------------------------------------------------------------------------


def convert(block: Block, plan: Plan) -> Converted:
    """Convert the rows of a block."""
    rows = len(block.lines)
    columns = {place: _stripped(column) for place, column in block.columns.items()}
    symbols, good = _symbols(columns, plan, rows)
    prices = [plain_prices(columns[place], plan.price) for place in plan.columns.ohlc or plan.columns.places[PRICE]]
    for price in prices:
        good &= np.asarray(price.is_valid())
    size, size_read = _sizes(columns, plan, rows)
    times, dated, time_read = _times(columns, plan, rows)
    good &= size_read & time_read
    left_out = [(line, str(Malformed(Reason.NOT_AN_OBJECT, fault))) for line, fault in block.faults]
    if not good.all():
        patch = _Patch(block, plan, np.flatnonzero(~good))
        left_out += patch.left_out
        left_out.sort()
        rescued = patch.rows
        symbols = _replaced(symbols, rescued, [fields.symbol for fields in patch.fields])
        prices = [
            _replaced(price, rescued, [f"{fields.prices[at]:f}" for fields in patch.fields]) for at, price in enumerate(prices)
        ]
        size = _replaced(size, rescued, [None if fields.size is None else str(fields.size) for fields in patch.fields])
        times[rescued] = [fields.ts_event or 0 for fields in patch.fields]
        dated[rescued] = [fields.ts_event is not None for fields in patch.fields]
        good[rescued] = True
    keep = np.flatnonzero(good)
    return Converted(_batch(symbols, prices, size, times, dated, keep), len(keep), left_out)


class _Patch:
    """Rows that the columns have not accepted, converted one by one: `rows` are those that are ticks, with their `fields`."""

    def __init__(self, block: Block, plan: Plan, doubtful: Integers) -> None:
        self.fields: list[Fields] = []
        self.left_out: list[tuple[int, str]] = []
        accepted: list[int] = []
        chosen = {place: column.take(pa.array(doubtful)).to_pylist() for place, column in raw(block.columns).items()}
        lines = block.lines[doubtful].tolist()
        for number, (row, line) in enumerate(zip(doubtful.tolist(), lines, strict=True)):
            try:
                self.fields.append(tick_of(_cells({place: values[number] for place, values in chosen.items()}, plan), plan))
                accepted.append(row)
            except Malformed as malformed:
                self.left_out.append((line, str(malformed)))
        self.rows = np.array(accepted, np.int64)


def raw(columns: dict[int, pa.Array]) -> dict[int, pa.Array]:
    """Return columns whose values Python can hold exactly: times as nanoseconds."""
    return {place: _as_nanoseconds(column) for place, column in columns.items()}


def _as_nanoseconds(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.string())
    return column


def _cells(row: dict[int, object], plan: Plan) -> Cells:
    places = plan.columns.places

    def joined(ours: str) -> object:
        values = [row[place] for place in places.get(ours, ())]
        if len(values) < 2:  # noqa: PLR2004
            return values[0] if values else None
        return " ".join(text for value in values if (text := _text(value)))

    symbol = plan.symbol or joined(SYMBOL)
    prices = [row[place] for place in plan.columns.ohlc] or [joined(PRICE)]
    return Cells(symbol, prices, joined(SIZE), joined(TIME), joined(NANOS))


def _stripped(column: pa.Array) -> pa.Array:
    """Return text without spaces around it, null where nothing is left; other columns as they are."""
    if not is_text(column.type):
        return column
    text = pc.ascii_trim_whitespace(column.cast(pa.string()))
    empty = pc.equal(pc.binary_length(text), 0)
    return pc.if_else(empty, pa.scalar(None, pa.string()), text) if pc.any(empty).as_py() else text


def _joined(columns: dict[int, pa.Array], places: Sequence[int]) -> pa.Array:
    if len(places) == 1:
        return columns[places[0]]
    parts = [columns[place].cast(pa.string()) for place in places]
    return pc.binary_join_element_wise(*parts, " ", null_handling="skip")


def _symbols(columns: dict[int, pa.Array], plan: Plan, rows: int) -> tuple[pa.Array, Mask]:
    """Return symbols, and where they are valid: the contract judges each distinct one."""
    if plan.symbol:
        return pa.array([plan.symbol] * rows, pa.string()), np.full(rows, is_symbol(plan.symbol))
    text = _joined(columns, plan.columns.places[SYMBOL]).cast(pa.string())
    encoded = text.dictionary_encode()
    valid = np.array([is_symbol(symbol) for symbol in encoded.dictionary.to_pylist()] + [False])
    return text, valid[encoded.indices.fill_null(len(valid) - 1).to_numpy(zero_copy_only=False)]


@lru_cache(maxsize=100_000)
def is_symbol(symbol: str) -> bool:
    """Whether the contract accepts a symbol."""
    try:
        return decode(encode(Tick(symbol, Decimal(1)))).symbol == symbol
    except Malformed:
        return False


def _sizes(columns: dict[int, pa.Array], plan: Plan, rows: int) -> tuple[pa.Array, Mask]:
    """Return sizes as text, and where they have been read; an empty one has."""
    if not (places := plan.columns.places.get(SIZE, ())):
        return pa.nulls(rows, pa.string()), np.ones(rows, bool)
    column = _joined(columns, places)
    text = plain_sizes(column, plan.size)
    return text, np.asarray(text.is_valid()) | np.asarray(column.is_null())


def _times(columns: dict[int, pa.Array], plan: Plan, rows: int) -> tuple[Integers, Mask, Mask]:
    """Return times, where there is one, and where they have been read."""
    if not (places := plan.columns.places.get(TIME, ())):
        return np.zeros(rows, np.int64), np.zeros(rows, bool), np.ones(rows, bool)
    column = _joined(columns, places)
    times, read = times_ns(column, plan.time)
    empty = np.asarray(column.is_null())
    if of_nanos := plan.columns.places.get(NANOS, ()):
        times, fitting = _nanos_added(times, columns[of_nanos[0]])
        read &= fitting
        empty &= np.asarray(columns[of_nanos[0]].is_null())
    read &= (times >= EVENT_TIMES_NS.start) & (times + plan.ticks_per_row - 1 < EVENT_TIMES_NS.stop)
    return times.copy(), read & ~empty, read | empty


def _nanos_added(times: Integers, column: pa.Array) -> tuple[Integers, Mask]:
    text = only(column.cast(pa.string()), "^[0-9]{1,3}$")
    nanos = text.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    rest = times % 1000
    unread = np.asarray(column.is_valid()) & np.asarray(text.is_null())
    return times - rest + np.where(np.asarray(text.is_valid()), nanos, rest), ~unread & ((rest == 0) | (rest == nanos) | np.asarray(column.is_null()))


def _replaced(column: pa.Array, rows: Integers, values: Sequence[str | None]) -> pa.Array:
    if not len(rows):
        return column
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array(values, pa.string()))


def _batch(
    symbols: pa.Array, prices: Sequence[pa.Array], size: pa.Array, times: Integers, dated: Mask, keep: Integers
) -> pa.RecordBatch:
    """Return the rows to keep as ticks. The ticks of a bar follow each other by a nanosecond; the last one has its size."""
    rows, each = len(keep), len(prices)
    if rows < len(symbols):
        chosen = pa.array(keep)
        symbols, size, prices = symbols.take(chosen), size.take(chosen), [price.take(chosen) for price in prices]
        times, dated = times[keep], dated[keep]
    if each > 1:
        row, place = np.repeat(np.arange(rows), each), np.tile(np.arange(each), rows)
        symbols = symbols.take(pa.array(row))
        prices = [pa.concat_arrays(prices).take(pa.array(place * rows + row))]
        size = pc.if_else(pa.array(place == each - 1), size.take(pa.array(row)), pa.scalar(None, pa.string()))
        times, dated = times[row] + place, dated[row]
    return pa.record_batch(
        [symbols.dictionary_encode(), prices[0], size, pa.array(times, pa.int64(), mask=~dated)], schema=SCHEMA
    )
