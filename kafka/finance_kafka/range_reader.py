"""Read offset ranges of a topic with a consumer that commits no group offsets, so it leaves no trace at the broker."""

from __future__ import annotations

import time
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from finance_kafka.describe import BrokerUnavailableError
from finance_kafka.offsets import OffsetRange

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import Message

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

SILENCE_SECONDS = 30.0
POLL_SECONDS = 0.1
MAX_STEP_RECORDS = 10_000
MAX_STEP_BYTES = 16 * 1024 * 1024


class OffsetOutOfRangeError(Exception):
    """The topic no longer has a requested record; the message is a sentence for the operator."""


class Record(NamedTuple):
    """A record of the topic; the timestamp is in milliseconds since the Unix epoch."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Messages(NamedTuple):
    """Messages of the client, with the partition and offset of each as arrays."""

    messages: list[Message]
    partitions: Numbers
    offsets: Numbers

    def where(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Messages:
        """Return the messages selected by a mask."""
        return Messages(list(compress(self.messages, mask)), self.partitions[mask], self.offsets[mask])


class KafkaRangeReader:
    """Reads offset ranges of one topic; keeps its connection between reads."""

    def __init__(self, bootstrap: str, topic: str, base: int = 0, *, skip_missing: bool = False) -> None:
        """Create the reader; it connects on the first read. `skip_missing` skips records removed by retention.

        In ranges and messages, `base` is the number of the topic's partition 0.
        """
        self._topic = topic
        self._base = base
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "financelake-reader",  # the client requires a group; nothing is ever committed to it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest" if skip_missing else "error",
                "isolation.level": "read_uncommitted",  # the count of offsets without a record must not include aborted records
                "fetch.queue.backoff.ms": 5,  # with the default of a second a fast reader would mostly wait
                # All requested records exist already; a request that waits for new ones would delay the next read.
                "fetch.wait.max.ms": 10,
                # These two limit a step in bytes, whatever the size of its records.
                "queued.max.messages.kbytes": 16 * 1024,
                "fetch.message.max.bytes": 1024 * 1024,
                "reconnect.backoff.max.ms": 1000,
                # A broker that is silent, such as a frozen one, counts as unreachable: another may lead its partitions by now.
                "socket.timeout.ms": 10_000,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def read(self, ranges: Mapping[int, OffsetRange]) -> Iterator[Messages]:
        """Yield the messages of ranges: partitions mixed, in offset order within each. Offsets without a record are skipped.

        The topic must have offsets up to each range's end. Raises BrokerUnavailableError if the broker returns nothing for
        `SILENCE_SECONDS` or refuses, and OffsetOutOfRangeError.
        """
        own = {partition - self._base: span for partition, span in ranges.items() if span.count > 0}
        reached = {partition: span.start for partition, span in own.items()}
        ends = np.zeros(max(own, default=-1) + 1, np.int64)
        for partition, span in own.items():
            ends[partition] = span.end
        self._consumer.assign([TopicPartition(self._topic, *place) for place in reached.items()])
        last_answer = time.monotonic()
        while reached:
            remaining = sum(int(ends[partition]) - offset for partition, offset in reached.items())
            answers = self._step(min(MAX_STEP_RECORDS, remaining))
            if answers:
                last_answer = time.monotonic()
            elif time.monotonic() - last_answer > SILENCE_SECONDS:
                raise BrokerUnavailableError(f"the broker returns no records from offset {_places(reached)} on")
            ended = {_ended(answer) for answer in answers if answer.error()}
            messages = _placed([answer for answer in answers if not answer.error()] if ended else answers)
            requested = messages.offsets < ends[messages.partitions]
            wanted = messages if requested.all() else messages.where(requested)
            yield wanted._replace(partitions=wanted.partitions + self._base)
            self._move_on(reached, messages, ends, ended)

    def _step(self, limit: int) -> list[Message]:
        """Collect messages for at most `POLL_SECONDS`, up to `limit` messages, `MAX_STEP_BYTES` or the end of a partition.

        With a timeout of 0 the client returns what it has buffered, which `queued.max.messages.kbytes` limits in bytes.
        """
        step: list[Message] = []
        size, deadline = 0, time.monotonic() + POLL_SECONDS
        while len(step) < limit and size < MAX_STEP_BYTES and (seconds := deadline - time.monotonic()) > 0:
            more = self._consumer.consume(limit - len(step), timeout=0) or self._consumer.consume(1, timeout=seconds)
            step += more
            size += sum(map(len, more))
            if more and more[-1].error():
                break
        return step

    def _move_on(self, reached: dict[int, int], messages: Messages, ends: Numbers, ended: set[int]) -> None:
        for partition in list(reached):
            offsets = messages.offsets[messages.partitions == partition]
            if offsets.size:
                reached[partition] = int(offsets[-1]) + 1
            if partition in ended or reached[partition] >= ends[partition]:
                del reached[partition]
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])


def read_ranges(bootstrap: str, topic: str, ranges: Mapping[int, OffsetRange], base: int = 0) -> Iterator[list[Record]]:
    """Yield the records of ranges, partitions mixed, without those that retention has removed.

    In ranges and records, `base` is the number of the topic's partition 0. Raises BrokerUnavailableError.
    """
    reader = KafkaRangeReader(bootstrap, topic, base, skip_missing=True)
    try:
        for messages in reader.read(ranges):
            yield [_record(*fields) for fields in zip(*messages, strict=True)]
    finally:
        reader.close()


def oldest_timestamp(bootstrap: str, topic: str, ranges: Mapping[int, OffsetRange], base: int = 0) -> float | None:
    """Return the oldest timestamp of the ranges' first records, in seconds since 1970; None if no range begins with a record.

    In ranges, `base` is the number of the topic's partition 0. Raises BrokerUnavailableError.
    """
    firsts = {partition: OffsetRange(span.start, span.start + 1) for partition, span in ranges.items()}
    records = [record for step in read_ranges(bootstrap, topic, firsts, base) for record in step]
    return min((record.timestamp_ms / 1000 for record in records), default=None)


def _placed(messages: list[Message]) -> Messages:
    partitions = np.array([message.partition() for message in messages], np.int64)
    return Messages(messages, partitions, np.array([message.offset() for message in messages], np.int64))


def _ended(answer: Message) -> int:
    """Return the partition whose end was reached, which the client reports as an error. Raises for real errors."""
    error, partition = answer.error(), answer.partition()
    assert error is not None, "called for errors only"  # noqa: S101
    if error.code() == KafkaError._PARTITION_EOF and partition is not None:  # noqa: SLF001 (its public constants look like this)
        return partition
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
        raise OffsetOutOfRangeError(
            f"Kafka no longer has offset {answer.offset()} of partition {partition}: data may have been lost"
        )
    raise BrokerUnavailableError(f"the broker does not return the topic's records: {KafkaException(error)}")


def _places(reached: Mapping[int, int]) -> str:
    return ", ".join(f"{partition}:{offset}" for partition, offset in sorted(reached.items()))


def _record(message: Message, partition: np.int64, offset: np.int64) -> Record:
    return Record(int(partition), int(offset), message.timestamp()[1], message.key(), message.value())
