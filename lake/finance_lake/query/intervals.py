"""Convert SQL intervals: Polars and pandas refuse Arrow's type of months, days and nanoseconds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

PARTS = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])
DAY_US = 86_400_000_000
MAX_DAYS = 36_500_000


def without_intervals(rows: pa.Table) -> pa.Table:
    """Convert intervals to durations (microseconds), or to text if a column has months or too many days to convert."""
    for index, field in enumerate(rows.schema):
        if pa.types.is_interval(field.type):
            rows = rows.set_column(index, field.name, _without(rows.column(index)))
    return rows


def _without(column: pa.ChunkedArray) -> pa.ChunkedArray:
    chunks = [(_parts(chunk), chunk.is_null().to_numpy(zero_copy_only=False)) for chunk in column.chunks]
    if all(_has_length(parts[~missing]) for parts, missing in chunks):
        kind = pa.duration("us")
        return pa.chunked_array([pa.array(_micros(parts), mask=missing).cast(kind) for parts, missing in chunks], kind)
    return pa.chunked_array([[None if value is None else _text(value) for value in column.to_pylist()]], pa.string())


def _parts(chunk: pa.Array) -> np.ndarray:
    values = chunk.buffers()[1]
    return np.frombuffer(values or b"", PARTS)[chunk.offset : chunk.offset + len(chunk)]


def _has_length(parts: np.ndarray) -> bool:
    return not (parts["months"].any() or (np.abs(parts["days"].astype(np.int64)) > MAX_DAYS).any())


def _micros(parts: np.ndarray) -> np.ndarray:
    micros: np.ndarray = parts["days"].astype(np.int64) * DAY_US + parts["nanos"] // 1000
    return micros


def _text(interval: pa.MonthDayNano) -> str:
    return f"{interval.months} months {interval.days} days {interval.nanoseconds / 1e9:g} s"
