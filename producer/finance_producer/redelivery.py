"""Send ticks again that the client returned because its topic did not exist, according to a broker that had just started.

Such a broker answers before the controller has sent it its topics. librdkafka believes it and fails all queued records. No
setting prevents that: `topic.metadata.propagation.max.ms`, at most an hour, counts from when the client first saw the topic,
and for as long the client would not trust a topic that exists again. So the client is replaced.

Some of the ticks in flight when the broker died may be in the topic, at the end of its log. They are looked up there once the
broker is back: a record that a dead broker has not stored by then will not appear later. A running broker answers for records
in flight within `ANSWER_SECONDS`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from finance_producer.connection import REST_SECONDS, FatalError
from finance_producer.tail import arrived

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_producer.config import Settings
    from finance_producer.connection import Link
    from finance_producer.publisher import Client, Publisher

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Redelivery:
    """Replaces the client of a publisher and sends its unconfirmed ticks again.

    `connect` returns a client of a broker that has the topic, or None if its argument returns true first. `arrived` returns the
    numbers that are in the topic, or None if the broker does not answer completely.
    """

    connect: Callable[[Callable[[], bool]], Client | None]
    arrived: Callable[[], set[int] | None]
    link: Link
    patience_seconds: float
    stopping: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def of_source(
        cls,
        source: str,
        settings: Settings,
        connect: Callable[[Callable[[], bool]], Client | None],
        link: Link,
        stopping: Callable[[], bool],
    ) -> Self:
        """Return the redelivery of a source's ticks, which looks for them at the end of the settings' topic."""
        found = partial(arrived, settings.kafka_bootstrap, settings.kafka_topic, source)
        return cls(connect, found, link, settings.delivery_timeout_seconds, stopping)

    def redeliver(self, publisher: Publisher) -> None:
        """Retry until all unconfirmed ticks are sent or `stopping` is true. Raises FatalError after `patience_seconds`."""
        deadline = self.monotonic() + self.patience_seconds
        self.link.topic.begin("the broker reports no such topic")
        while publisher.needs_new_client and not self.stopping():
            self.link.check()
            if self.monotonic() >= deadline:
                raise FatalError(f"no broker has had the topic for {self.patience_seconds:g} s (DELIVERY_TIMEOUT_SECONDS)")
            self._try(publisher, deadline)
        if not publisher.needs_new_client:
            self.link.topic.end()

    def _try(self, publisher: Publisher, deadline: float) -> None:
        def is_over() -> bool:
            return self.stopping() or self.monotonic() >= deadline

        publisher.withdraw(ANSWER_SECONDS)
        client = self.connect(is_over)
        while client is not None and not is_over():
            arrived = self.arrived()
            if arrived is not None:
                publisher.resume(client, arrived)
                return
            client.poll(REST_SECONDS)
