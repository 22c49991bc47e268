"""Decode all values of an Arrow batch in one JSON parse, if every one of them is clearly a good tick.

It never rejects a value. It accepts a batch only if it returns what the contract's `decode` returns for each value, which a
differential test checks. In any doubt it returns None and leaves the batch to that decoder.

Why a single parse of the concatenated values cannot mix up their bytes: each value begins with `{` and ends with `}`, and the
batch has exactly one of each per value. So no value contains a second object, and no object spans two values. A value has two
quotes per key and two per string. Unknown and duplicate keys, nulls and quoted prices add quotes; nothing removes any. So if
the number of quotes in the batch is what its columns account for, each value has its own keys once and no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from finance_contract.tick import COUNTS, EVENT_TIMES_NS, MAX_VALUE_BYTES, PRICE_LIMIT, SOURCE, SYMBOL, Tick
from finance_storage.schemas import TICK_FIELDS

if TYPE_CHECKING:
    import re

# The contract's fields, each with the type of its column. `ts_event` is in nanoseconds here.
MESSAGE_FIELDS = pa.schema(
    [pa.field("ts_event", pa.int64()) if name == "ts_event" else TICK_FIELDS.field(name) for name in Tick.__struct_fields__]
)
_PARSING = pyarrow.json.ParseOptions(explicit_schema=MESSAGE_FIELDS, unexpected_field_behavior="error")
_OPEN, _CLOSE, _QUOTE, _BACKSLASH, _LAST_ASCII = b'{}"\\\x7f'
_QUOTES = {field.name: 4 if pa.types.is_string(field.type) else 2 for field in MESSAGE_FIELDS}


def decode_batch_fast(values: pa.Array) -> pa.Table | None:
    """Decode message values (binary) into `MESSAGE_FIELDS`, one row per value.

    Return None if any value is not clearly good, or if there are no values.
    """
    if values.null_count or not len(values):
        return None
    offsets = np.frombuffer(values.buffers()[1], np.int32)[values.offset : values.offset + len(values) + 1]
    data = values.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    if not _is_one_object_each(data, offsets):
        return None
    try:
        reading = pyarrow.json.ReadOptions(use_threads=False, block_size=data.size + 1)
        ticks = pyarrow.json.read_json(pa.BufferReader(data), reading, _PARSING)
    except pa.ArrowInvalid:
        return None
    return ticks if len(ticks) == len(values) and _is_good(ticks, _count(data, _QUOTE)) else None


def _is_one_object_each(data: pa.Buffer, offsets: np.ndarray[Any, Any]) -> bool:
    starts, ends = offsets[:-1] - offsets[0], offsets[1:] - offsets[0]
    lengths = ends - starts
    if lengths.min() < len("{}") or lengths.max() > MAX_VALUE_BYTES:
        return False
    characters = np.frombuffer(data, np.uint8)
    return bool(
        characters.max() <= _LAST_ASCII
        and (characters[starts] == _OPEN).all()
        and (characters[ends - 1] == _CLOSE).all()
        and _count(data, _OPEN) == _count(data, _CLOSE) == len(starts)
        and _count(data, _BACKSLASH) == 0
    )


def _count(data: pa.Buffer, character: int) -> int:
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == character))


def _is_good(ticks: pa.Table, quotes: int) -> bool:
    present = {name: len(ticks) - ticks.column(name).null_count for name in MESSAGE_FIELDS.names}
    return (
        present["symbol"] == present["price"] == len(ticks)
        and quotes == sum(_QUOTES[name] * count for name, count in present.items())
        and _is_in_range(ticks.column("price"))
        and all(_within(ticks.column(name), allowed) for name, allowed in _RANGES.items())
        and all(_match(ticks.column(name), pattern) for name, pattern in _PATTERNS.items())
    )


_RANGES = {"size": COUNTS, "ts_event": EVENT_TIMES_NS, "seq": COUNTS}
_PATTERNS = {"symbol": SYMBOL, "source": SOURCE}


def _is_in_range(prices: pa.ChunkedArray) -> bool:
    # Arrow's parser accepts prices with more digits before the point than the column's type allows.
    extremes = pc.min_max(prices).as_py()
    return bool(extremes["min"] > 0 and extremes["max"] < PRICE_LIMIT)


def _within(column: pa.ChunkedArray, allowed: range) -> bool:
    extremes = pc.min_max(column).as_py()
    return extremes["min"] is None or (extremes["min"] in allowed and extremes["max"] in allowed)


def _match(column: pa.ChunkedArray, pattern: re.Pattern[str]) -> bool:
    return all(pattern.fullmatch(text) for text in pc.unique(column.drop_null()).to_pylist())
