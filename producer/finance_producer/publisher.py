"""Hands ticks to the Kafka client and follows them to the broker's answer.

The client is idempotent and waits for all replicas, so it keeps order and repeats nothing, whatever it has to send again. Its
queue is bounded: a tick that it has no room for is handed over again, the same one, until there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from finance_producer.delivery import Deliveries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from finance_producer.feed import Ticks

ANY_PARTITION = -1
PURGE_SECONDS = 1.0


def client_config(bootstrap: str, delivery_timeout_seconds: float) -> dict[str, Any]:
    """Give librdkafka's settings."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "finance-producer",
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "partitioner": "murmur2_random",  # as every Java client: the same key, the same partition
        "linger.ms": 20,
        # Few enough to stay in a processor's cache, which is faster, and to be little to lose.
        "queue.buffering.max.messages": 50_000,
        "queue.buffering.max.kbytes": 32_768,
        "delivery.timeout.ms": round(delivery_timeout_seconds * 1000),
        "reconnect.backoff.max.ms": 2_000,
        "log_level": 4,
    }


class Client(Protocol):
    """The part of confluent_kafka.Producer that is used."""

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int, callback: Callable[..., None]
    ) -> None:
        """Put a record into the queue; raises BufferError if it is full, KafkaException if the client is beyond repair."""

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
        self.deliveries = Deliveries()
        self.retries = 0

    @property
    def waiting(self) -> int:
        """How many records wait for the broker's answer."""
        return len(self._client)

    def publish(self, ticks: Ticks, wait: Callable[[], bool]) -> None:
        """Hand over ticks. Whenever the queue is full, `wait` is called to serve it; when that is False, leave the rest.

        What was handed over counts as made, also when the client raises KafkaException.
        """
        block = self.deliveries.open(ticks.first, len(ticks.values))
        produce, topic, delivered = self._client.produce, self._topic, block.delivered
        handed = 0
        try:
            for key, value in zip(ticks.keys, ticks.values, strict=True):
                try:
                    produce(topic, value, key, ANY_PARTITION, delivered)
                except BufferError:
                    if not self._insist(key, value, delivered, wait):
                        return
                handed += 1
        finally:
            self.deliveries.cut(block, handed)

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

    def finish(self, seconds: float) -> None:
        """Wait for the answers at most so long; then fail what is left, so that every tick has its answer."""
        if self._client.flush(seconds):
            self._client.purge()
            self._client.flush(PURGE_SECONDS)

    def _insist(self, key: bytes | None, value: bytes | None, delivered: Callable[..., None], wait: Callable[[], bool]) -> bool:
        while True:
            try:
                self._client.produce(self._topic, value, key, ANY_PARTITION, delivered)
            except BufferError:
                self.retries += 1
                if not wait():
                    return False
            else:
                return True
