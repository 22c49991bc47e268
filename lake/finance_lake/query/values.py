"""Convert Arrow values to Python, and count the single values of a batch.

pyarrow imports pandas before it returns the first time, whatever its unit: a third of a second, and 40 MB from then on. A row
may hold millions of values in one list: these are small in Arrow, but large in Python or JSON.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MOMENT = pa.timestamp("us", "UTC")


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return one dictionary per row."""
    columns = [values(column) for column in table.columns]
    return [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]


def values(column: pa.ChunkedArray) -> Sequence[Any]:
    """Return the values of a column; times as aware `datetime`. Raises RequestError for values that Python cannot hold."""
    try:
        if column.type == MOMENT:
            return [None if us is None else EPOCH + us * MICROSECOND for us in column.cast(pa.int64()).to_pylist()]
        listed: list[Any] = column.to_pylist()
    except (OverflowError, ValueError, RecursionError) as error:
        raise RequestError(f"A value of the result cannot be shown ({error}): cast the column to VARCHAR.") from None
    return listed


def count_values(batch: pa.RecordBatch) -> int:
    """Count the single values of a batch, nested ones included."""
    return sum(_count(column) for column in batch.columns)


def _count(column: pa.Array) -> int:
    kind = column.type
    if pa.types.is_struct(kind):
        return len(column) + sum(map(_count, column.flatten()))
    if pa.types.is_map(kind):
        return len(column) + _count(column.keys) + _count(column.items)
    if pa.types.is_nested(kind) and hasattr(column, "flatten"):
        return len(column) + _count(column.flatten())
    if pa.types.is_union(kind):
        return sum(_count(column.field(number)) for number in range(kind.num_fields))
    return len(column)
