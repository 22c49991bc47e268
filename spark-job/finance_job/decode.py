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

from finance_contract import Malformed, Tick, decode, too_long
from finance_job.columns import QUARANTINE_FIELDS, TICK_FIELDS, UTC_MICROSECONDS
from finance_job.long_values import with_cuts
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
    """Split Kafka records (`finance_job.records.FIELDS`) into rows for the two tables."""
    records = with_cuts(records)
    has_cut_values = records.column("value_length").null_count < records.num_rows
    plain = None if has_cut_values else read_plain(records.column("value"))
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
    # Not the errors themselves: an error refers to this frame, and so to all its values, which refer to the error again.
    faults: list[tuple[str, str]] = []
    lengths = records.column("value_length").to_pylist()
    for index, value in enumerate(records.column("value").to_pylist()):
        try:
            if lengths[index] is not None:
                raise too_long(lengths[index])
            ticks.append(decode(value))
            good.append(index)
        except Malformed as fault:
            faults.append((str(fault.reason), fault.detail))
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


def _quarantine_rows(records: pa.RecordBatch, faults: Sequence[tuple[str, str]], ingested_at: pa.Scalar) -> pa.Table:
    values = records.column("value")
    # A value that was cut has these already, of the whole of it.
    columns = {
        **_coordinates(records, _microseconds(records.column("timestamp"))),
        "key": records.column("key"),
        "value": values,
        "value_length": pc.coalesce(records.column("value_length"), pc.binary_length(values).cast(pa.int64())),
        "value_sha256": pc.coalesce(records.column("value_sha256"), _sha256_of(values)),
        "reason": pa.array([reason for reason, _ in faults], pa.string()),
        "detail": pa.array([detail for _, detail in faults], pa.string()),
    }
    return _rows(columns, ingested_at, QUARANTINE_FIELDS)


def _sha256_of(values: pa.Array) -> pa.Array:
    return pa.array(
        [hashlib.sha256(value.as_buffer()).hexdigest() if value.is_valid else None for value in values], pa.string()
    )


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
