"""Hand ticks to the Kafka client and track them until the broker acknowledges them.

The client is idempotent, so its retries neither reorder nor duplicate records, and it waits for all in-sync replicas. Its queue
is bounded: a tick that does not fit is retried until there is room or the run is stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import KafkaException

from finance_producer.delivery import Deliveries, is_topic_missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from finance_producer.feed import Ticks

ANY_PARTITION = -1
PURGE_SECONDS = 10.0  # enough for the callbacks of a full queue on a slow machine; no broker is involved
# Small enough for a processor's cache, which is faster, and to lose little in a crash.
QUEUE_RECORDS = 50_000
# A client that reports only errors has acknowledged the rest when its queue is empty, so it is emptied after so many ticks.
MAX_UNSETTLED_TICKS = 500_000


def connection_config(bootstrap: str) -> dict[str, Any]:
    """Return librdkafka's settings for connecting to a broker."""
    return {
        "bootstrap.servers": bootstrap,
        "client.id": "finance-producer",
        "reconnect.backoff.max.ms": 2_000,
        # A broker that is silent, such as a frozen one, counts as unreachable after this time. The default is a minute, during
        # which its partitions may have another leader already.
        "socket.timeout.ms": 10_000,
        "log_level": 4,
    }


def client_config(bootstrap: str, delivery_timeout_seconds: float) -> dict[str, Any]:
    """Return librdkafka's settings for a producer."""
    return {
        **connection_config(bootstrap),
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": "zstd",
        "partitioner": "murmur2_random",  # the default of Java clients: the same key goes to the same partition
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
        """Queue a record. Raises BufferError if the queue is full, KafkaException for a missing topic or a fatal error."""

    def poll(self, timeout: float) -> int:
        """Run callbacks for pending events, waiting up to `timeout` seconds for one."""

    def flush(self, timeout: float) -> int:
        """Poll until the queue is empty or `timeout` seconds have passed; return the number of records left."""

    def purge(self) -> None:
        """Fail everything in the queue."""

    def __len__(self) -> int:
        """Return the number of records without an answer yet."""


class Publisher:
    """Publishes to one topic."""

    def __init__(self, client: Client, topic: str) -> None:
        """Publish through `client`; `deliveries` has the results."""
        self._client = client
        self._topic = topic
        self._refused = False
        self._lost = 0
        self.deliveries = Deliveries()
        self.retries = 0

    @property
    def waiting(self) -> int:
        """The number of records that wait for the broker's answer."""
        return len(self._client)

    @property
    def needs_new_client(self) -> bool:
        """Whether the client has refused or returned records because the topic is missing, and must be replaced."""
        return self._refused or bool(self.deliveries.unconfirmed)

    def publish(self, ticks: Ticks, wait: Callable[[], bool]) -> None:
        """Hand ticks to the client. If the queue is full or the topic missing, call `wait`; if it returns False, drop the rest.

        Ticks that were handed over count as made, even if the client then raises KafkaException.
        """
        if not self._settles(wait):
            return
        block = self.deliveries.open(ticks.first)
        produce, topic, delivered = self._client.produce, self._topic, block.delivered
        made = 0
        try:
            for key, value in zip(ticks.keys, ticks.values, strict=True):
                try:
                    produce(topic, value, key, ANY_PARTITION, delivered)
                except (BufferError, KafkaException):
                    self.deliveries.grow(block, made)
                    if not self._insist(key, value, delivered, wait):
                        return
                    produce = self._client.produce  # `wait` may have replaced the client
                made += 1
        finally:
            self.deliveries.grow(block, made)
            block.is_growing = False

    def publish_malformed(self, values: Iterable[bytes | None], wait: Callable[[], bool]) -> None:
        """Hand over records that are malformed on purpose, which have no key."""
        malformed = self.deliveries.malformed
        for value in values:
            if not self._insist(None, value, malformed.delivered, wait):
                return
            malformed.made += 1

    def serve(self, seconds: float) -> None:
        """Process the client's callbacks, waiting up to `seconds` for one."""
        self._client.poll(seconds)
        self._acknowledge()

    def withdraw(self, seconds: float) -> None:
        """Wait up to `seconds` for outstanding answers, then take the remaining records out of the queue."""
        if self._client.flush(seconds):
            self._client.purge()
            self._lost += self._client.flush(PURGE_SECONDS)
        self._acknowledge()

    def resume(self, client: Client, arrived: set[int]) -> None:
        """Go on with another client: hand over the unconfirmed ticks whose numbers are not in `arrived`, in order.

        The queue has room for all of them because they come from one of the same size. If the topic is missing again, the rest
        stay unconfirmed.
        """
        self._client, self._refused = client, False
        unconfirmed = self.deliveries.unconfirmed
        self.deliveries.acknowledge_arrived(arrived)
        unconfirmed.sort(reverse=True)
        while unconfirmed and self._accepts(unconfirmed[-1].key, unconfirmed[-1].value, unconfirmed[-1].block.delivered):
            unconfirmed.pop()

    def finish(self, seconds: float) -> None:
        """Wait up to `seconds` for outstanding answers, then mark the remaining ticks as failed."""
        self.withdraw(seconds)
        self.deliveries.fail_unconfirmed()

    def _acknowledge(self) -> None:
        """Count as acknowledged what the client no longer has, unless a client was replaced that still had records."""
        if not self.waiting and not self._lost:
            self.deliveries.acknowledge_unreported()

    def _settles(self, wait: Callable[[], bool]) -> bool:
        """Wait until few enough ticks are without an outcome; return False if `wait` does."""
        if self.deliveries.unsettled >= MAX_UNSETTLED_TICKS:
            while self.waiting:
                if not wait():
                    return False
        return True

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
        """Hand over a record; return False if the topic is missing."""
        try:
            self._client.produce(self._topic, value, key, ANY_PARTITION, delivered)
        except KafkaException as error:
            if not is_topic_missing(error.args[0]):
                raise
            self._refused = True
            return False
        return True
