"""Read ranges of the topic again, without a JVM: what recover puts where the tables have gaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, TopicPartition

from finance_job.columns import UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

    from finance_lake.state.record import OffsetRange

SILENCE_SECONDS = 30.0
POLLED = 10_000
RECORDS = pa.schema(
    {"key": pa.binary(), "value": pa.binary(), "partition": pa.int32(), "offset": pa.int64(), "timestamp": UTC_MICROSECONDS}
)


class UnreadableError(Exception):
    """Kafka does not give a record that it should have; the message names the offset."""


def read_range(bootstrap: str, topic: str, partition: int, span: OffsetRange) -> Iterator[pa.RecordBatch]:
    """Read the records of a range of offsets, in order. Offsets without a record (transaction markers) are passed over.

    Raises UnreadableError.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "financelake-recover",  # asked for by the client; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "isolation.level": "read_uncommitted",  # as the job reads
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, span.start)])
        yield from _until(consumer, partition, span)
    finally:
        consumer.close()


def _until(consumer: Consumer, partition: int, span: OffsetRange) -> Iterator[pa.RecordBatch]:
    reached = span.start
    while reached < span.end:
        messages = consumer.consume(POLLED, timeout=SILENCE_SECONDS)
        if not messages:
            raise UnreadableError(f"Kafka gives nothing from offset {reached} of partition {partition} on")
        rows = [_row(message) for message in messages if _is_record(message, partition, reached)]
        wanted = [row for row in rows if row["offset"] < span.end]
        if wanted:
            yield pa.RecordBatch.from_pylist(wanted, RECORDS)
        reached = span.end if messages[-1].error() else rows[-1]["offset"] + 1


def _is_record(message: Message, partition: int, reached: int) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public constants look like this)
        return False
    raise UnreadableError(f"Kafka does not give the records from offset {reached} of partition {partition} on: {error.str()}")


def _row(message: Message) -> dict[str, Any]:
    return {
        "key": message.key(),
        "value": message.value(),
        "partition": message.partition(),
        "offset": message.offset(),
        "timestamp": message.timestamp()[1] * 1000,
    }
