"""The plan for reading a file: which columns are read, and how their values are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from finance_producer.reading.bar_order import require_columns_in_order
from finance_producer.reading.columns import NANOS, PRICE, SIZE, SYMBOL, TIME, choose
from finance_producer.reading.formats import needs_decimals, number_format, require_usable_prices, time_format, zone
from finance_producer.reading.options import UnreadableFileError
from finance_producer.reading.prices import NumberFormat, texts
from finance_producer.reading.times import DAY_NS, TimeFormat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from finance_producer.reading.columns import Column, Columns
    from finance_producer.reading.options import Options


class Plan(NamedTuple):
    """How the rows of a file become ticks.

    Attributes:
        columns: where our columns are
        symbol: the symbol of every row; empty if a column has it
        price, size, time: how these are written

    """

    columns: Columns
    symbol: str
    price: NumberFormat
    size: NumberFormat
    time: TimeFormat

    @property
    def ticks_per_row(self) -> int:
        """Four for a bar, else one."""
        return len(self.columns.ohlc) or 1


class Sample(NamedTuple):
    """The beginning of a file: the names and examples of its columns, and the first values of each, by place."""

    present: Sequence[Column]
    values: Mapping[int, pa.Array]


def make_plan(file: Path, sample: Sample, options: Options) -> Plan:
    """Make a plan. Raises AmbiguousError where only the user can decide, UnreadableFileError if the file cannot be read."""
    columns = choose(file, sample.present, options)
    prices = columns.ohlc or columns.places[PRICE]
    for place in prices:
        _require_price(file, sample.values[place].type, options)
    for ours in (SYMBOL, SIZE, TIME, NANOS):
        for place in columns.places.get(ours, ()):
            _require_kind(file, ours, sample.values[place].type)
    written = [text for place in prices if not _is_float(sample.values[place].type) for text in _texts(sample, place)]
    price = number_format(file, PRICE, written, options.price_scale, options)
    require_usable_prices(file, written, price, options)
    if columns.ohlc:
        names, bars = [sample.present[at].name for at in columns.ohlc], [sample.values[at] for at in columns.ohlc]
        require_columns_in_order(file, names, bars, price, options)
    if options.size_scale and not columns.places.get(SIZE):
        raise UnreadableFileError(
            f"{file} has no column size: leave {options.spelled('size_scale', options.size_scale)} out, or say which column it"
            f" is with {options.spelled('mapped', 'size=COLUMN')}."
        )
    sizes = [text for place in columns.places.get(SIZE, ()) for text in _texts(sample, place)]
    return Plan(
        columns,
        options.symbol,
        price,
        number_format(file, SIZE, sizes, options.size_scale, options),
        _time_format(file, sample, columns.places.get(TIME, ()), options),
    )


def _texts(sample: Sample, place: int) -> list[str]:
    return texts(sample.values[place].to_pylist())


def _time_format(file: Path, sample: Sample, places: Sequence[int], options: Options) -> TimeFormat:
    if not places:
        return TimeFormat()
    name = sample.present[places[0]].name
    kind = sample.values[places[0]].type
    if pa.types.is_timestamp(kind):
        return TimeFormat("ns", "ymd", *zone(file, name, kind.tz is None and not _are_dates(sample.values[places[0]]), options))
    if pa.types.is_date(kind):
        return TimeFormat("ns", "ymd", *zone(file, name, is_open=False, options=options))
    joined = [" ".join(parts) for parts in zip(*(_texts(sample, place) for place in places), strict=False)]
    return time_format(file, name, joined, options)


def _are_dates(times: pa.Array) -> bool:
    """Whether all times are midnight, so that they are dates."""
    return all(value is None or value % DAY_NS == 0 for value in times.cast(pa.timestamp("ns")).cast(pa.int64()).to_pylist())


def value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a column's values: of a dictionary, those that it looks up."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_float(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(value_type(kind)))


def _require_price(file: Path, kind: pa.DataType, options: Options) -> None:
    kind = value_type(kind)
    if pa.types.is_floating(kind):
        if options.decimals is None:
            raise needs_decimals(file, str(kind), options)
        return
    if not (is_text(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise _unsupported(file, PRICE, kind)


def _require_kind(file: Path, ours: str, kind: pa.DataType) -> None:
    kind = value_type(kind)
    if pa.types.is_floating(kind) and ours in {TIME, NANOS}:
        raise UnreadableFileError(
            f"{file} has {ours} as {kind}, binary floating point, which has no exact value: store it as an integer or as text."
        )
    fits = is_text(kind) or (ours != SYMBOL and pa.types.is_integer(kind)) or (ours == SIZE and pa.types.is_floating(kind))
    fits |= ours == TIME and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
    if not fits:
        raise _unsupported(file, ours, kind)


def _unsupported(file: Path, ours: str, kind: pa.DataType) -> UnreadableFileError:
    return UnreadableFileError(f"{file} has {ours} as {str(kind)[:100]}, which is not supported for it: store it as text.")
