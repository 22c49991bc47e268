"""Kafka records as the job decodes them: Arrow batches of key, value, partition, offset, timestamp, read by ranges of offsets.

Spark plans which offsets a batch has and keeps them in its checkpoint; who stores the batch reads the records here. So a record
goes from the broker to Python and into its file, and never through the JVM (docs/adr/0010).
"""

from __future__ import annotations

import gc
from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from finance_job.columns import UTC_MICROSECONDS
from finance_lake.state.record import OffsetRange
from finance_lake.state.topic import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from finance_lake.state.topic import Messages

FIELDS = pa.schema(
    {"key": pa.binary(), "value": pa.binary(), "partition": pa.int32(), "offset": pa.int64(), "timestamp": UTC_MICROSECONDS}
)

Ranges = dict[int, OffsetRange]


class Source(Protocol):
    """Where the records of a batch come from; goes to the workers, so it can be pickled."""

    def __call__(self, ranges: Ranges) -> Iterator[pa.RecordBatch]:
        """Read ranges of offsets, by Kafka partition."""


def source(bootstrap: str, topic: str, *, passing_over: bool = False) -> Source:
    """Give the topic as a source, which raises what finance_lake.state.topic.Reader raises."""
    return partial(_read, bootstrap, topic, passing_over)


def as_batch(found: Messages) -> pa.RecordBatch:
    """Lay messages out in columns."""
    messages = found.messages
    milliseconds = np.array([message.timestamp()[1] for message in messages], np.int64)
    columns = [
        pa.array([message.key() for message in messages], pa.binary()),
        pa.array([message.value() for message in messages], pa.binary()),
        pa.array(found.partitions.astype(np.int32)),
        pa.array(found.offsets),
        pa.array(milliseconds * 1000).cast(UTC_MICROSECONDS),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=FIELDS)


def shares_of(ranges: Mapping[int, OffsetRange], tasks: int) -> list[Ranges]:
    """Cut ranges into as many shares of about the same number of offsets; fewer if there are not enough."""
    total = sum(span.count for span in ranges.values())
    size = max(1, -(-total // tasks))
    shares: list[Ranges] = []
    room = 0
    for partition, span in sorted(ranges.items()):
        start = span.start
        while start < span.end:
            if not room:
                shares.append({})
                room = size
            end = min(span.end, start + room)
            shares[-1][partition] = OffsetRange(start, end)
            room -= end - start
            start = end
    return shares


def _read(bootstrap: str, topic: str, passing_over: bool, ranges: Ranges) -> Iterator[pa.RecordBatch]:  # noqa: FBT001
    # Thousands of messages come at a time, none of them part of a cycle: to look at them all takes a fifth of the reading.
    gc.disable()
    try:
        for found in _reader(bootstrap, topic, passing_over).read(ranges):
            if found.messages:
                yield as_batch(found)
    finally:
        gc.enable()


@cache
def _reader(bootstrap: str, topic: str, passing_over: bool) -> Reader:  # noqa: FBT001
    # A worker lives for many batches, and so does its connection to the broker.
    return Reader(bootstrap, topic, passing_over=passing_over)
