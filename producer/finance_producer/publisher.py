"""Hands ticks to the Kafka client and follows them to the broker's answer.

The client is idempotent and waits for all replicas, so it keeps order and repeats nothing, whatever it has to send again. Its
queue is bounded: a tick that it has no room for is handed over again, the same one, until there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaException

from finance_producer.delivery import Deliveries, is_topic_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from finance_producer.feed import Ticks

ANY_PARTITION = -1
PURGE_SECONDS = 10.0  # nothing is waited for: callbacks for a full queue on a slow machine
# Few enough to stay in a processor's cache, which is faster, and to be little to lose.
QUEUE_RECORDS = 50_000


def connection_config(bootstrap: str) -> dict[str, Any]:
    """Give the settings of librdkafka that are about reaching a broker."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "finance-producer",
        "reconnect.backoff.max.ms": 2_000,
        "log_level": 4,
    }


def client_config(bootstrap: str, delivery_timeout_seconds: float) -> dict[str, Any]:
    """Give librdkafka's settings."""
    return {
        **connection_config(bootstrap),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "partitioner": "murmur2_random",  # as every Java client: the same key, the same partition
        "linger.ms": 20,
        "queue.buffering.max.messages": QUEUE_RECORDS,
        "queue.buffering.max.kbytes": 32_768,
        "delivery.timeout.ms": round(delivery_timeout_seconds * 1000),
    }


class Client(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, callback: Callable[..., None]
    ) -> None:
        """Put a record into the queue; raises BufferError if it is full, KafkaException if the topic is away or all is lost."""

    def poll(self, timeout: float) -> int:
        """Call back for what has happened, waiting for something at most `timeout` seconds."""

    def flush(self, timeout: float) -> int:
        """Poll until the queue is empty or `timeout` is over."""

    def purge(self) -> None:
        """Fail everything in the queue."""

    def __len__(self) -> int:
        """Count the records whose answer is outstanding."""


class Publisher:
    """Publishes to one topic."""

    def __init__(self, client: Client, topic: str) -> None:
        """Publish through a client; what becomes of it is in `deliveries`."""
        self._client = client
        self._topic = topic
        self._refused = False
        self.deliveries = Deliveries()
        self.retries = 0

    @property
    def waiting(self) -> int:
        """How many records wait for the broker's answer."""
        return len(self._client)

    @property
    def needs_new_client(self) -> bool:
        """Whether the client refuses records, or has given some back, because the topic is away: it needs another client."""
        return self._refused or bool(self.deliveries.orphans)

    def publish(self, ticks: Ticks, wait: Callable[[], bool]) -> None:
        """Hand over ticks. Whenever the queue is full, or the topic away, `wait` is called; when that is False, leave the rest.

        What was handed over counts as made, also when the client raises KafkaException.
        """
        block = self.deliveries.open(ticks.first, len(ticks.values))
        produce, topic, delivered = self._client.produce, self._topic, block.delivered
        handed = 0
        try:
            for key, value in zip(ticks.keys, ticks.values, strict=True):
                try:
                    produce(topic, value, key, ANY_PARTITION, delivered)
                except (BufferError, KafkaException):
                    if not self._insist(key, value, delivered, wait):
                        return
                    produce = self._client.produce  # it may be another one now
                handed += 1
        finally:
            self.deliveries.truncate(block, handed)

    def publish_malformed(self, values: Iterable[bytes | None], wait: Callable[[], bool]) -> None:
        """Hand over records that are malformed on purpose; they have no key."""
        malformed = self.deliveries.malformed
        for value in values:
            if not self._insist(None, value, malformed.delivered, wait):
                return
            malformed.made += 1

    def serve(self, seconds: float) -> None:
        """Take the answers that are there, or wait for some, at most so long."""
        self._client.poll(seconds)

    def withdraw(self, seconds: float) -> None:
        """Wait for the answers at most so long; then take back what is left, so that nothing of it is sent any more."""
        if self._client.flush(seconds):
            self._client.purge()
            self._client.flush(PURGE_SECONDS)

    def resume(self, client: Client, arrived: set[int]) -> None:
        """Go on through another client: hand over, in their order, the orphans whose numbers are not among the arrived.

        The queue has room for all of them, as they come out of one of the same size. Those for which the topic is away again
        stay orphans.
        """
        self._client, self._refused = client, False
        orphans = self.deliveries.orphans
        self.deliveries.find(arrived)
        orphans.sort(reverse=True)
        while orphans and self._accepts(orphans[-1].key, orphans[-1].value, orphans[-1].block.delivered):
            orphans.pop()

    def finish(self, seconds: float) -> None:
        """Wait for the answers at most so long; then fail what is left, so that every tick has its answer."""
        self.withdraw(seconds)
        self.deliveries.give_up()

    def _insist(self, key: bytes | None, value: bytes | None, delivered: Callable[..., None], wait: Callable[[], bool]) -> bool:
        while True:
            try:
                if self._accepts(key, value, delivered):
                    return True
            except BufferError:
                self.retries += 1
            if not wait():
                return False

    def _accepts(self, key: bytes | None, value: bytes | None, delivered: Callable[..., None]) -> bool:
        """Hand over a record; False if the topic is away."""
        try:
            self._client.produce(self._topic, value, key, ANY_PARTITION, delivered)
        except KafkaException as error:
            if not is_topic_away(error.args[0]):
                raise
            self._refused = True
            return False
        return True
