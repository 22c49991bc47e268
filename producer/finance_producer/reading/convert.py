"""Convert rows to ticks: whole columns where they are clearly valid, else row by row with the contract's own decoder.

The columns may only accept rows, and must then give what `tick_of` gives. A differential test checks this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import Malformed, Reason
from finance_contract.tick import EVENT_TIMES_NS
from finance_producer.reading.bar_order import in_order
from finance_producer.reading.columns import NANOS, PRICE, SIZE, SYMBOL, TIME
from finance_producer.reading.fast_times import times_ns
from finance_producer.reading.plan import is_text
from finance_producer.reading.prices import only, plain_prices, plain_sizes
from finance_producer.reading.row import Cells, Fields, is_symbol, text_of, tick_of
from finance_role.text import without_guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from finance_producer.reading.csv_file import Block
    from finance_producer.reading.plan import Plan

    Mask = NDArray[np.bool_]
    Integers = NDArray[np.int64]

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


def convert(block: Block, plan: Plan) -> Converted:
    """Convert the rows of a block."""
    rows = len(block.lines)
    columns = {place: _stripped(column) for place, column in block.columns.items()}
    symbols, good = _symbols(columns, plan, rows)
    prices = [plain_prices(columns[place], plan.price) for place in plan.columns.ohlc or plan.columns.places[PRICE]]
    for price in prices:
        good &= np.asarray(price.is_valid())
    if plan.columns.ohlc:
        good &= in_order(prices)
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
    return Converted(_batch(_Whole(symbols, prices, size, times, dated), keep), len(keep), left_out)


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
    """Return columns whose values Python can hold exactly: times become text."""
    return {place: _as_text(column) for place, column in columns.items()}


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.string())
    return column


def _cells(row: dict[int, object], plan: Plan) -> Cells:
    places = plan.columns.places

    def joined(ours: str) -> object:
        values = [row[place] for place in places.get(ours, ())]
        if len(values) < 2:  # noqa: PLR2004
            return values[0] if values else None
        return " ".join(text for value in values if (text := text_of(value)))

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
    symbols = [without_guard(symbol) for symbol in encoded.dictionary.to_pylist()]
    valid = np.array([is_symbol(symbol) for symbol in symbols] + [False])
    places = encoded.indices.fill_null(len(symbols)).to_numpy(zero_copy_only=False)
    return pa.array(symbols, pa.string()).take(encoded.indices), valid[places]


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
    return times - rest + np.where(np.asarray(text.is_valid()), nanos, rest), ~unread & (
        (rest == 0) | (rest == nanos) | np.asarray(column.is_null())
    )


def _replaced(column: pa.Array, rows: Integers, values: Sequence[str | None]) -> pa.Array:
    if not len(rows):
        return column
    mask = np.zeros(len(column), bool)
    mask[rows] = True
    return pc.replace_with_mask(column, pa.array(mask), pa.array(values, pa.string()))


class _Whole(NamedTuple):
    """The columns of all rows of a block; `dated` says where there is a time."""

    symbols: pa.Array
    prices: Sequence[pa.Array]
    size: pa.Array
    times: Integers
    dated: Mask


def _batch(columns: _Whole, keep: Integers) -> pa.RecordBatch:
    """Return the rows to keep as ticks. The ticks of a bar follow each other by a nanosecond; the last one has its size."""
    symbols, prices, size, times, dated = columns
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
