"""Records that are read from the topic again, in the shape in which the job's records come to be decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_job.columns import UTC_MICROSECONDS
from finance_lake.state import topic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.state.record import OffsetRange
    from finance_lake.state.topic import Record

FIELDS = pa.schema(
    {"key": pa.binary(), "value": pa.binary(), "partition": pa.int32(), "offset": pa.int64(), "timestamp": UTC_MICROSECONDS}
)


def read_range(bootstrap: str, name: str, partition: int, span: OffsetRange) -> Iterator[pa.RecordBatch]:
    """Read a range of offsets of the topic, in order; offsets without a record are passed over. Raises SilentError."""
    for records in topic.read(bootstrap, name, {partition: span}):
        if records:
            yield pa.RecordBatch.from_pylist(list(map(_row, records)), FIELDS)


def _row(record: Record) -> dict[str, object]:
    return {
        "key": record.key,
        "value": record.value,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms * 1000,
    }
