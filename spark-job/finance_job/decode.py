"""Decode: one Arrow batch of Kafka records in, its good and its malformed rows out. Pure; runs in the Python workers.

Every record ends in exactly one of the two results, with its coordinates: the loop has one exit for each. Where all
records of a batch are plainly good, `plain` decodes them at once, to the same result.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import MAX_VALUE_BYTES, Malformed, Tick, decode
from finance_job.columns import QUARANTINE_FIELDS, TICK_FIELDS, UTC_MICROSECONDS
from finance_job.plain import FIELDS, read_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

NANOSECONDS_PER_MICROSECOND = 1000
BLOCK = 1000


class Decoded(NamedTuple):
    """The rows of one Arrow batch, as the two tables want them."""

    ticks: pa.Table
    quarantine: pa.Table


def decode_records(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
    """Split Kafka records (key, value, partition, offset, timestamp) into rows for the two tables."""
    plain = read_plain(records.column("value"))
    if plain is not None:
        return Decoded(_tick_rows(records, plain, ingested_at), QUARANTINE_FIELDS.empty_table())
    if records.num_rows <= BLOCK:
        return _decode_one_by_one(records, ingested_at)
    # One bad record costs its neighbours the quick way, but not the whole batch.
    blocks = [decode_records(records.slice(start, BLOCK), ingested_at) for start in range(0, records.num_rows, BLOCK)]
    return Decoded(*map(pa.concat_tables, zip(*blocks, strict=True)))


def _decode_one_by_one(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
    good: list[int] = []
    ticks: list[Tick] = []
    bad: list[int] = []
    faults: list[Malformed] = []
    for index, value in enumerate(records.column("value").to_pylist()):
        try:
            ticks.append(decode(value))
            good.append(index)
        except Malformed as fault:
            faults.append(fault)
            bad.append(index)
    return Decoded(
        _tick_rows(records.take(pa.array(good, pa.int64())), _fields_of(ticks), ingested_at),
        _quarantine_rows(records.take(pa.array(bad, pa.int64())), faults, ingested_at),
    )


def _fields_of(ticks: Sequence[Tick]) -> pa.Table:
    return pa.table({field.name: [getattr(tick, field.name) for tick in ticks] for field in FIELDS}, schema=FIELDS)


def _tick_rows(records: pa.RecordBatch, ticks: pa.Table, ingested_at: pa.Scalar) -> pa.Table:
    arrived = _microseconds(records.column("timestamp"))
    microseconds, nanos = _split_nanoseconds(ticks.column("ts_event").combine_chunks())
    columns = {
        **{name: ticks.column(name) for name in ("symbol", "price", "size", "seq", "source")},
        "ts_event": pc.coalesce(microseconds, arrived),
        "ts_event_nanos": nanos,
        **_coordinates(records, arrived),
    }
    return _rows(columns, ingested_at, TICK_FIELDS)


def _quarantine_rows(records: pa.RecordBatch, faults: Sequence[Malformed], ingested_at: pa.Scalar) -> pa.Table:
    keys, values = records.column("key").to_pylist(), records.column("value").to_pylist()
    columns = {
        **_coordinates(records, _microseconds(records.column("timestamp"))),
        "key": pa.array([key and key[:MAX_VALUE_BYTES] for key in keys], pa.binary()),
        "value": pa.array([value and value[:MAX_VALUE_BYTES] for value in values], pa.binary()),
        "value_length": pa.array([None if value is None else len(value) for value in values], pa.int64()),
        "value_sha256": pa.array(
            [None if value is None else hashlib.sha256(value).hexdigest() for value in values], pa.string()
        ),
        "reason": pa.array([str(fault.reason) for fault in faults], pa.string()),
        "detail": pa.array([fault.detail for fault in faults], pa.string()),
    }
    return _rows(columns, ingested_at, QUARANTINE_FIELDS)


def _coordinates(records: pa.RecordBatch, arrived: pa.Array) -> dict[str, pa.Array]:
    return {
        "kafka_partition": records.column("partition"),
        "kafka_offset": records.column("offset"),
        "kafka_timestamp": arrived,
    }


def _microseconds(timestamps: pa.Array) -> pa.Array:
    return timestamps.cast(UTC_MICROSECONDS)


def _split_nanoseconds(nanoseconds: pa.Array) -> tuple[pa.Array, pa.Array]:
    values = pc.fill_null(nanoseconds, 0).to_numpy()
    absent = np.asarray(pc.is_null(nanoseconds))
    whole = pa.array(values // NANOSECONDS_PER_MICROSECOND, pa.int64(), mask=absent).cast(UTC_MICROSECONDS)
    return whole, pa.array(values % NANOSECONDS_PER_MICROSECOND, pa.int16(), mask=absent)


def _rows(columns: dict[str, Any], ingested_at: pa.Scalar, fields: pa.Schema) -> pa.Table:
    rows = len(columns["kafka_offset"])
    return pa.table({**columns, "ingested_at": pa.repeat(ingested_at, rows)}).select(fields.names).cast(fields)
