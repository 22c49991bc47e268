"""Decode: one Arrow batch of Kafka records in, its good and its malformed rows out. Pure; runs in the Python workers.

Every record ends in exactly one of the two results, with its coordinates: the loop has one exit for each.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import MAX_VALUE_BYTES, Malformed, Tick, decode
from finance_job.columns import PRICE, QUARANTINE_FIELDS, TICK_FIELDS, UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

NANOSECONDS_PER_MICROSECOND = 1000


class Decoded(NamedTuple):
    """The rows of one Arrow batch, as the two tables want them."""

    ticks: pa.Table
    quarantine: pa.Table


def decode_records(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
    """Split Kafka records (key, value, partition, offset, timestamp) into rows for the two tables."""
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
    if not bad:
        return Decoded(_tick_rows(records, ticks, ingested_at), QUARANTINE_FIELDS.empty_table())
    return Decoded(
        _tick_rows(records.take(pa.array(good, pa.int64())), ticks, ingested_at),
        _quarantine_rows(records.take(pa.array(bad, pa.int64())), faults, ingested_at),
    )


def _tick_rows(records: pa.RecordBatch, ticks: Sequence[Tick], ingested_at: pa.Scalar) -> pa.Table:
    arrived = _microseconds(records.column("timestamp"))
    events = pa.array([tick.ts_event for tick in ticks], pa.int64())
    microseconds, nanos = _split_nanoseconds(events)
    columns = {
        "symbol": pa.array([tick.symbol for tick in ticks], pa.string()),
        "price": pa.array([tick.price for tick in ticks], PRICE),
        "size": pa.array([tick.size for tick in ticks], pa.int64()),
        "ts_event": pc.coalesce(microseconds, arrived),
        "ts_event_nanos": nanos,
        "seq": pa.array([tick.seq for tick in ticks], pa.int64()),
        "source": pa.array([tick.source for tick in ticks], pa.string()),
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
    return pa.table({**columns, "ingested_at": pa.repeat(ingested_at, rows)}, schema=fields)
