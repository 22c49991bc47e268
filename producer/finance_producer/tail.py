"""Read the ends of the topic: whether it has ever had a record, and the ticks of a run among its newest records."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from finance_contract import Malformed, decode
from finance_producer.publisher import QUEUE_RECORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ASK_SECONDS = 5.0

T = TypeVar("T")


def arrived(bootstrap: str, topic: str, source: str) -> set[int] | None:
    """Return the numbers of a source at the ends of the partitions; None if the broker does not answer completely.

    It reads as many records per partition as a client's queue holds: a client cannot have sent more without an answer.
    """
    return _asked(bootstrap, lambda consumer: set(numbers(_newest(consumer, topic), source)))


def is_newborn(bootstrap: str, topic: str) -> bool | None:
    """Return whether no record was ever published to the topic; None if the broker does not answer completely.

    A topic whose records were all deleted is not newborn: its end offsets are above 0.
    """
    return _asked(
        bootstrap,
        lambda consumer: not any(_offsets(consumer, topic, partition)[1] for partition in _partitions(consumer, topic)),
    )


def _asked(bootstrap: str, ask: Callable[[Consumer], T]) -> T | None:
    """Return the answer to a question; None if it raises KafkaException."""
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
        return ask(consumer)
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
    first, end = _offsets(consumer, topic, partition)
    return TopicPartition(topic, partition, max(first, end - QUEUE_RECORDS))


def _offsets(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    offsets = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_SECONDS)
    if offsets is None:
        raise _timeout()
    return offsets


def _timeout() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 (its public constants look like this)
