"""Find the ticks of a run among the newest records of the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from finance_contract import Malformed, decode
from finance_producer.publisher import QUEUE_RECORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

ASK_SECONDS = 5.0


def arrived(bootstrap: str, topic: str, source: str) -> set[int] | None:
    """Return the numbers of a source at the ends of the partitions; None if the broker does not answer completely.

    It reads as many records per partition as a client's queue holds: a client cannot have sent more without an answer.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "finance-producer",  # required, but unused: no offsets are committed
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",  # in case retention removes the start offset meanwhile
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
    """Yield the numbers of values that are ticks of the source."""
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
            raise _timeout()
        error = message.error()
        if error is None:
            yield message.value()
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 (its public constants look like this)
            unread.discard(message.partition())
        else:
            raise KafkaException(error)


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    described = consumer.list_topics(topic, timeout=ASK_SECONDS).topics[topic]
    # An empty list would look as if nothing had arrived, and everything would be sent twice.
    if described.error or not described.partitions:
        raise KafkaException(described.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
    return list(described.partitions)


def _start(consumer: Consumer, topic: str, partition: int) -> TopicPartition:
    offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_SECONDS)
    if offsets is None:
        raise _timeout()
    first, end = offsets
    return TopicPartition(topic, partition, max(first, end - QUEUE_RECORDS))


def _timeout() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public constants look like this)
