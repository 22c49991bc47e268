"""Decode one Arrow batch of Kafka records into ticks and malformed rows. Pure; runs in the Python workers.

Every record ends up in exactly one of the two results, with its coordinates. If all records of a batch are clearly good,
`decode_fast` decodes them in one parse, with the same result.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import TIMESTAMPS_MS, Malformed, Tick, bad_timestamp, decode, too_long
from finance_job.decode_fast import MESSAGE_FIELDS, decode_batch_fast
from finance_job.long_values import with_cuts
from finance_storage.schemas import QUARANTINE_FIELDS, TICK_FIELDS, UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

NANOSECONDS_PER_MICROSECOND = 1000
BLOCK = 1000
TIMES_US = range(TIMESTAMPS_MS[0] * 1000, (TIMESTAMPS_MS[-1] + 1) * 1000)


class Decoded(NamedTuple):
    """The rows of one Arrow batch in the columns of each table; ticks also have their `date`."""

    ticks: pa.Table
    quarantine: pa.Table


def decode_records(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
    """Split Kafka records (`finance_job.records.RECORD_FIELDS`) into rows for the two tables."""
    records = _judged_times(with_cuts(records))
    has_cut_values = records.column("value_length").null_count < records.num_rows
    is_odd = has_cut_values or records.column("timestamp").null_count
    plain = None if is_odd else decode_batch_fast(records.column("value"))
    if plain is not None:
        return Decoded(_tick_rows(records, plain, ingested_at), QUARANTINE_FIELDS.empty_table())
    if records.num_rows <= BLOCK:
        return _decode_one_by_one(records, ingested_at)
    # A bad record sends only its block down the slow path, not the whole batch.
    blocks = [decode_records(records.slice(start, BLOCK), ingested_at) for start in range(0, records.num_rows, BLOCK)]
    return Decoded(*map(pa.concat_tables, zip(*blocks, strict=True)))


def _decode_one_by_one(records: pa.RecordBatch, ingested_at: pa.Scalar) -> Decoded:
    good: list[int] = []
    ticks: list[Tick] = []
    bad: list[int] = []
    # Not the errors themselves: an error refers to this frame and its values, which refer to the error (a reference cycle).
    faults: list[tuple[str, str]] = []
    lengths = records.column("value_length").to_pylist()
    times = records.column("odd_ms").to_pylist()
    for index, value in enumerate(records.column("value").to_pylist()):
        try:
            if lengths[index] is not None:
                raise too_long(lengths[index])
            tick = decode(value)
            if (odd := times[index]) is not None:
                raise bad_timestamp(odd)
            ticks.append(tick)
            good.append(index)
        except Malformed as fault:
            faults.append((str(fault.reason), fault.detail))
            bad.append(index)
    return Decoded(
        _tick_rows(records.take(pa.array(good, pa.int64())), _fields_of(ticks), ingested_at),
        _quarantine_rows(records.take(pa.array(bad, pa.int64())), faults, ingested_at),
    )


def _fields_of(ticks: Sequence[Tick]) -> pa.Table:
    return pa.table(
        {field.name: [getattr(tick, field.name) for tick in ticks] for field in MESSAGE_FIELDS}, schema=MESSAGE_FIELDS
    )


def _tick_rows(records: pa.RecordBatch, ticks: pa.Table, ingested_at: pa.Scalar) -> pa.Table:
    arrived = records.column("timestamp")
    microseconds, nanos = _split_nanoseconds(ticks.column("ts_event").combine_chunks())
    columns = {
        **{name: ticks.column(name) for name in MESSAGE_FIELDS.names},
        "ts_event": pc.coalesce(microseconds, arrived),
        "ts_event_nanos": nanos,
        **_coordinates(records),
    }
    rows = _rows(columns, ingested_at, TICK_FIELDS)
    # The date of arrival, from the broker's timestamp. A client's timestamp may be any date, so one batch could have thousands.
    dates = pc.if_else(records.column("from_client"), ingested_at, arrived).cast(pa.date32())
    return rows.append_column("date", dates)


def _quarantine_rows(records: pa.RecordBatch, faults: Sequence[tuple[str, str]], ingested_at: pa.Scalar) -> pa.Table:
    values = records.column("value")
    # A value that was cut comes with the length and hash of the whole value.
    columns = {
        **_coordinates(records),
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


def _coordinates(records: pa.RecordBatch) -> dict[str, pa.Array]:
    return {
        "kafka_partition": records.column("partition"),
        "kafka_offset": records.column("offset"),
        "kafka_timestamp": records.column("timestamp"),
    }


def _judged_times(records: pa.RecordBatch) -> pa.RecordBatch:
    """Set timestamps outside the contract's range to null and add their milliseconds as the column `odd_ms`.

    Records that do not come from Kafka (a redrive reads them from the quarantine) may have no timestamp and lack `from_client`.
    """
    if "odd_ms" in records.schema.names:
        return records
    microseconds = records.column("timestamp").cast(UTC_MICROSECONDS).cast(pa.int64()).fill_null(-1).to_numpy()
    is_odd = (microseconds < TIMES_US[0]) | (microseconds > TIMES_US[-1])
    columns = {name: records.column(name) for name in records.schema.names}
    columns["timestamp"] = pa.array(microseconds, mask=is_odd).cast(UTC_MICROSECONDS)
    columns["odd_ms"] = pa.array(microseconds // 1000, mask=~is_odd)
    columns["from_client"] = columns.get("from_client", pa.nulls(len(records), pa.bool_())).fill_null(False)  # noqa: FBT003
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _split_nanoseconds(nanoseconds: pa.Array) -> tuple[pa.Array, pa.Array]:
    values = pc.fill_null(nanoseconds, 0).to_numpy()
    absent = np.asarray(pc.is_null(nanoseconds))
    whole = pa.array(values // NANOSECONDS_PER_MICROSECOND, pa.int64(), mask=absent).cast(UTC_MICROSECONDS)
    return whole, pa.array(values % NANOSECONDS_PER_MICROSECOND, pa.int16(), mask=absent)


def _rows(columns: dict[str, Any], ingested_at: pa.Scalar, fields: pa.Schema) -> pa.Table:
    rows = len(columns["kafka_offset"])
    return pa.table({**columns, "ingested_at": pa.repeat(ingested_at, rows)}).select(fields.names).cast(fields)
