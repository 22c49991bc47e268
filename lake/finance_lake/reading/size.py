"""The size of an answer: how many single values it has, those within lists, maps and structs too.

A row may hold millions of values in one list: they are little in Arrow and much as Python's or JSON's.
"""

from __future__ import annotations

import pyarrow as pa


def count_values(batch: pa.RecordBatch) -> int:
    """Count the single values of a batch."""
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
