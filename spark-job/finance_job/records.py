"""Kafka records as the job decodes them: Arrow batches of `RECORD_FIELDS`, and the ranges of offsets that they come from.

Each reader cuts keys and values that are too long, and joins records into steps that are bounded in records and bytes.
"""

from __future__ import annotations

import gc
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME

from finance_job.long_values import CUT_FIELDS, cut_columns
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import KafkaRangeReader
from finance_storage.schemas import UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from finance_kafka.range_reader import Messages

# `from_client`: the client set the timestamp, not the broker.
RECORD_FIELDS = pa.schema(
    [
        *CUT_FIELDS,
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", UTC_MICROSECONDS),
        ("from_client", pa.bool_()),
    ]
)
# The largest distance from 1970 that fits into microseconds; timestamps beyond it are clipped to it.
MAX_TIMESTAMP_MS = (2**63 - 1) // 1000
SMALL_BATCH = 100_000  # offsets
MAX_STEP_RECORDS = 20_000
MAX_STEP_BYTES = 16 * 1024 * 1024

Ranges = dict[int, OffsetRange]


class RangeReader(Protocol):
    """Reads the records of ranges. It is sent to the workers, so it can be pickled."""

    def __call__(self, ranges: Ranges) -> Iterator[pa.RecordBatch]:
        """Yield the records of ranges of offsets by partition."""


def kafka_reader(bootstrap: str, topic: str, base: int = 0, *, skip_missing: bool = False) -> RangeReader:
    """Return a librdkafka reader of the topic; it raises what finance_kafka.range_reader.KafkaRangeReader raises.

    In ranges and records, `base` is the number of the topic's partition 0.
    """
    return partial(_read, bootstrap, topic, base, skip_missing)


def in_steps(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join small batches and split large ones, into steps of at most `MAX_STEP_RECORDS`, about `MAX_STEP_BYTES` bytes."""
    step: list[pa.RecordBatch] = []
    records = size = 0
    for batch in chain.from_iterable(map(_cut, batches)):
        more = batch.get_total_buffer_size()
        if step and (records + batch.num_rows > MAX_STEP_RECORDS or size + more > MAX_STEP_BYTES):
            yield pa.concat_batches(step)
            step, records, size = [], 0, 0
        step.append(batch)
        records, size = records + batch.num_rows, size + more
    if step:
        yield pa.concat_batches(step)


def _cut(batch: pa.RecordBatch) -> Iterable[pa.RecordBatch]:
    size = batch.get_total_buffer_size()
    if size <= MAX_STEP_BYTES:
        return (batch,)
    rows = max(1, batch.num_rows * MAX_STEP_BYTES // size)
    return (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))


def as_batch(block: Messages) -> pa.RecordBatch:
    """Convert messages to columns, with long keys and values cut."""
    messages = block.messages
    stamps = [message.timestamp() for message in messages]
    milliseconds = np.array([stamp[1] for stamp in stamps], np.int64).clip(-MAX_TIMESTAMP_MS, MAX_TIMESTAMP_MS)
    return pa.RecordBatch.from_arrays(
        [
            *cut_columns([message.key() for message in messages], [message.value() for message in messages]),
            pa.array(block.partitions.astype(np.int32)),
            pa.array(block.offsets),
            pa.array(milliseconds * 1000).cast(UTC_MICROSECONDS),
            pa.array([stamp[0] != TIMESTAMP_LOG_APPEND_TIME for stamp in stamps], pa.bool_()),
        ],
        schema=RECORD_FIELDS,
    )


def task_count(ranges: Mapping[int, OffsetRange], cores: int) -> int:
    """Return the number of tasks for a batch: one for a small batch (one file per table), else one per core; 0 if empty."""
    offsets = sum(span.count for span in ranges.values())
    return min(offsets, 1) if offsets < SMALL_BATCH else cores


def split_ranges(ranges: Mapping[int, OffsetRange], tasks: int) -> list[Ranges]:
    """Split ranges into `tasks` shares with about the same number of offsets; fewer if there are not enough offsets."""
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


def _read(bootstrap: str, topic: str, base: int, skip_missing: bool, ranges: Ranges) -> Iterator[pa.RecordBatch]:  # noqa: FBT001
    # Thousands of messages are alive at a time, none in a reference cycle. Scanning them takes a fifth of the reading time.
    gc.disable()
    try:
        for block in _reader(bootstrap, topic, base, skip_missing).read(ranges):
            if block.messages:
                yield as_batch(block)
    finally:
        gc.enable()


@cache
def _reader(bootstrap: str, topic: str, base: int, skip_missing: bool) -> KafkaRangeReader:  # noqa: FBT001
    # A worker process serves many batches and keeps its connection to the broker.
    return KafkaRangeReader(bootstrap, topic, base, skip_missing=skip_missing)
