"""The newest records of the topic: which ticks of a run are among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from finance_contract import Malformed, decode
from finance_producer.publisher import QUEUE_RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK_SECONDS = 5.0


def arrived(bootstrap: str, topic: str, source: str) -> set[int] | None:
    """Give the numbers of a source that the ends of the partitions hold; None if the broker does not tell all of them.

    An end is as long as the queue of a client: more it cannot have sent without an answer.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "finance-producer",  # needed, and not used: nothing is committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # should the topic's retention pass by meanwhile
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        return set(numbers(_newest(consumer, topic), source))
    except KafkaException:
        return None
    finally:
        consumer.close()


def numbers(values: Iterator[bytes | None], source: str) -> Iterator[int]:
    """Give the numbers of those that are ticks of the source."""
    for value in values:
        try:
            tick = decode(value)
        except Malformed:
            continue
        if tick.source == source and tick.seq is not None:
            yield tick.seq


def _newest(consumer: Consumer, topic: str) -> Iterator[bytes | None]:
    starts = [_start(consumer, topic, partition) for partition in _partitions(consumer, topic)]
    consumer.assign(starts)
    unread = {start.partition for start in starts}
    while unread:
        message = consumer.poll(ASK_SECONDS)
        if message is None:
            raise _silence()
        error = message.error()
        if error is None:
            yield message.value()
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public constants look like this)
            unread.discard(message.partition())
        else:
            raise KafkaException(error)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    described = consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
    # No partitions would mean that nothing has arrived, and what has would be sent twice.
    if described.error or not described.partitions:
        raise KafkaException(described.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return list(described.partitions)


def _start(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_SECONDS)
    if offsets is None:
        raise _silence()
    first, end = offsets
    return TopicPartition(topic, partition, max(first, end - QUEUE_RECORDS))


def _silence() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public constants look like this)
