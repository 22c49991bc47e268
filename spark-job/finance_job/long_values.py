"""Cut values that are longer than the contract allows as they are read, so that no later step holds them whole.

Such a record is always quarantined, with the first `MAX_VALUE_BYTES` bytes of its value, and the length and SHA-256 of the
whole value. Later steps use only these three. `finance_job.source` does the same in Spark's columns.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_contract import MAX_VALUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

# Length in bytes and SHA-256 (hexadecimal) of the whole value; null unless the value was cut.
CUT_FIELDS = pa.schema({"key": pa.binary(), "value": pa.binary(), "value_length": pa.int64(), "value_sha256": pa.string()})


def cut_columns(keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> list[pa.Array]:
    """Return keys and values as the columns of `CUT_FIELDS`, cut where they are too long."""
    long = {row: value for row, value in enumerate(values) if value is not None and len(value) > MAX_VALUE_BYTES}
    columns = [
        [_first_bytes(key) for key in keys],
        [_first_bytes(value) for value in values] if long else values,
        [len(long[row]) if row in long else None for row in range(len(values))] if long else None,
        [hashlib.sha256(long[row]).hexdigest() if row in long else None for row in range(len(values))] if long else None,
    ]
    kinds = CUT_FIELDS.types
    return [
        pa.nulls(len(values), kind) if column is None else pa.array(column, kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]


def with_cuts(records: pa.RecordBatch) -> pa.RecordBatch:
    """Add the columns of `CUT_FIELDS` to records that lack them, such as those read from the quarantine."""
    if CUT_FIELDS.names[-1] in records.schema.names:
        return records
    cut = cut_columns(records.column("key").to_pylist(), records.column("value").to_pylist())
    others = [name for name in records.schema.names if name not in CUT_FIELDS.names]
    return pa.RecordBatch.from_arrays([*cut, *map(records.column, others)], names=[*CUT_FIELDS.names, *others])


def _first_bytes(value: bytes | None) -> bytes | None:
    return value if value is None or len(value) <= MAX_VALUE_BYTES else value[:MAX_VALUE_BYTES]
