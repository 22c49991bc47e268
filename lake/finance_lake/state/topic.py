"""The topic, read again from one offset to another by a consumer without a group: it leaves no trace at the broker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from finance_lake.state.broker import SilentError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from confluent_kafka import Message

    from finance_lake.state.record import OffsetRange

SILENCE_SECONDS = 30.0
POLL_SECONDS = 0.5
RECORDS_A_STEP = 20_000


class Record(NamedTuple):
    """One record of the topic; the timestamp in milliseconds since the Unix epoch."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


def read(bootstrap: str, topic: str, ranges: Mapping[int, OffsetRange]) -> Iterator[list[Record]]:
    """Read the records of the ranges, by partition; the topic must have offsets up to each range's end.

    Raises SilentError when the broker gives nothing for `SILENCE_SECONDS`, or refuses.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "financelake-reader",  # asked for by the client; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # what retention removes meanwhile is passed over
            "isolation.level": "read_uncommitted",  # as the job reads
            "log_level": 0,
        }
    )
    try:
        for partition, span in ranges.items():
            if span.count > 0:
                consumer.assign([TopicPartition(topic, partition, span.start or OFFSET_BEGINNING)])
                yield from _until(consumer, partition, span)
    finally:
        consumer.close()


def _until(consumer: Consumer, partition: int, span: OffsetRange) -> Iterator[list[Record]]:
    reached, heard = span.start, time.monotonic()
    while reached < span.end:
        # It returns with fewer only when the time is up, so it is not asked for more than there are.
        answers = consumer.consume(min(RECORDS_A_STEP, span.end - reached), timeout=POLL_SECONDS)
        messages = [message for message in answers if message.partition() == partition]  # of no earlier assignment
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_SECONDS:
            raise SilentError(f"the broker gives no records from offset {reached} on")
        records = [_record(message) for message in messages if _is_record(message)]
        yield [record for record in records if record.offset < span.end]
        reached = _next(messages, records, reached, span)


def _next(messages: Sequence[Message], records: Sequence[Record], reached: int, span: OffsetRange) -> int:
    if messages and messages[-1].error():  # the end of the partition, which comes as an error that is none
        return span.end
    return records[-1].offset + 1 if records else reached


def _is_record(message: Message) -> bool:
    error = message.error()
    if error is None:
        return True
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public constants look like this)
        return False
    raise SilentError(f"the broker does not give the topic's records: {KafkaException(error)}")


def _record(message: Message) -> Record:
    partition, offset = message.partition(), message.offset()
    assert partition is not None, "a record has a partition"  # noqa: S101
    assert offset is not None, "a record has an offset"  # noqa: S101
    return Record(partition, offset, message.timestamp()[1], message.key(), message.value())
