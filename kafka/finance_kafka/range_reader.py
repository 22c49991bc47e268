"""Reads ranges of a topic from one offset to another by a consumer without a group: it leaves no trace at the broker."""

from __future__ import annotations

import time
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from finance_kafka.describe import BrokerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from confluent_kafka import Message

    from finance_kafka.offsets import OffsetRange

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

SILENCE_SECONDS = 30.0
POLL_SECONDS = 0.1
MAX_STEP_RECORDS = 10_000
MAX_STEP_BYTES = 16 * 1024 * 1024


class OffsetOutOfRangeError(Exception):
    """The topic no longer has a record that was asked for; the message is a sentence for the operator."""


class Record(NamedTuple):
    """One record of the topic; the timestamp in milliseconds since the Unix epoch."""

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Messages(NamedTuple):
    """Messages as the client gives them, and where each stands."""

    messages: list[Message]
    partitions: Numbers
    offsets: Numbers

    def where(self, mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Messages:
        """Keep those that the mask has."""
        return Messages(list(compress(self.messages, mask)), self.partitions[mask], self.offsets[mask])


class KafkaRangeReader:
    """Reads ranges of offsets of one topic; keeps its connection from one reading to the next."""

    def __init__(self, bootstrap: str, topic: str, *, skip_missing: bool = False) -> None:
        """Connect when first asked. `skip_missing`: pass over records that retention has removed, instead of raising."""
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "financelake-reader",  # asked for by the client; nothing is ever committed to it
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest" if skip_missing else "error",
                "isolation.level": "read_uncommitted",  # offsets without a record are counted, aborted records are records
                "fetch.queue.backoff.ms": 5,  # the default, a second, is what a fast reader would wait for most of the time
                # All that is asked for is there already; a request that waits for news would hold up the next reading.
                "fetch.wait.max.ms": 10,
                # A step is bounded in records, and through these two in bytes, whatever the size of the records.
                "queued.max.messages.kbytes": 16 * 1024,
                "fetch.message.max.bytes": 1024 * 1024,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def read(self, ranges: Mapping[int, OffsetRange]) -> Iterator[Messages]:
        """Read ranges, partitions mixed, each in order; offsets that have no record are passed over.

        The topic must have offsets up to each range's end. Raises BrokerUnavailableError when the broker gives nothing for
        `SILENCE_SECONDS`, or refuses, and OffsetOutOfRangeError.
        """
        ends = np.zeros(max(ranges, default=-1) + 1, np.int64)
        reached = {partition: span.start for partition, span in ranges.items() if span.count > 0}
        for partition in reached:
            ends[partition] = ranges[partition].end
        self._consumer.assign([TopicPartition(self._topic, *place) for place in reached.items()])
        heard = time.monotonic()
        while reached:
            due = sum(int(ends[partition]) - offset for partition, offset in reached.items())
            answers = self._step(min(MAX_STEP_RECORDS, due))
            if answers:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENCE_SECONDS:
                raise BrokerUnavailableError(f"the broker gives no records from offset {_places(reached)} on")
            ended = {_ended(answer) for answer in answers if answer.error()}
            found = _placed([answer for answer in answers if not answer.error()] if ended else answers)
            due_ones = found.offsets < ends[found.partitions]
            yield found if due_ones.all() else found.where(due_ones)
            self._move_on(reached, found, ends, ended)

    def _step(self, limit: int) -> list[Message]:
        """Collect messages for at most `POLL_SECONDS`, up to `limit` of them or `MAX_STEP_BYTES`, or to the end of a partition.

        Without a timeout the client gives what it holds already, which `queued.max.messages.kbytes` bounds in bytes.
        """
        step: list[Message] = []
        size, deadline = 0, time.monotonic() + POLL_SECONDS
        while len(step) < limit and size < MAX_STEP_BYTES and (left := deadline - time.monotonic()) > 0:
            more = self._consumer.consume(limit - len(step), timeout=0) or self._consumer.consume(1, timeout=left)
            step += more
            size += sum(map(len, more))
            if more and more[-1].error():
                break
        return step

    def _move_on(self, reached: dict[int, int], found: Messages, ends: Numbers, ended: set[int]) -> None:
        for partition in list(reached):
            mine = found.offsets[found.partitions == partition]
            if mine.size:
                reached[partition] = int(mine[-1]) + 1
            if partition in ended or reached[partition] >= ends[partition]:
                del reached[partition]
                self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])


def read_ranges(bootstrap: str, topic: str, ranges: Mapping[int, OffsetRange]) -> Iterator[list[Record]]:
    """Read the records of ranges once, partitions mixed, without those that retention has removed.

    Raises BrokerUnavailableError.
    """
    reader = KafkaRangeReader(bootstrap, topic, skip_missing=True)
    try:
        for found in reader.read(ranges):
            yield [_record(*one) for one in zip(*found, strict=True)]
    finally:
        reader.close()


def _placed(messages: list[Message]) -> Messages:
    partitions = np.array([message.partition() for message in messages], np.int64)
    return Messages(messages, partitions, np.array([message.offset() for message in messages], np.int64))


def _ended(answer: Message) -> int:
    """Give the partition that has come to its end, which comes as an error that is none. Raises for one that is."""
    error, partition = answer.error(), answer.partition()
    assert error is not None, "asked for errors only"  # noqa: S101
    if error.code() == KafkaError._PARTITION_EOF and partition is not None:  # noqa: SLF001 (its public constants look like this)
        return partition
    if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
        raise OffsetOutOfRangeError(
            f"Kafka no longer has offset {answer.offset()} of partition {partition}: data may have been lost"
        )
    raise BrokerUnavailableError(f"the broker does not give the topic's records: {KafkaException(error)}")


def _places(reached: Mapping[int, int]) -> str:
    return ", ".join(f"{partition}:{offset}" for partition, offset in sorted(reached.items()))


def _record(message: Message, partition: np.int64, offset: np.int64) -> Record:
    return Record(int(partition), int(offset), message.timestamp()[1], message.key(), message.value())
