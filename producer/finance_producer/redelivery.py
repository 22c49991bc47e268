"""Ticks that the client gives back because it was told that their topic does not exist, and how they get there after all.

A broker that has just started answers before the controller has told it of its topics, and librdkafka believes it: it fails
all that is queued. No setting prevents that: `topic.metadata.propagation.max.ms` counts from when the client first knew the
topic, an hour at most, and as long does it doubt a topic that is there again. So the client is left for a new one.

Of those that were under way when the broker died, some may be in the topic, at the end of its log. There they are looked for
when the broker is back: what a dead broker has not stored by then does not come any more. A broker that lives answers within
`ANSWER_SECONDS` for what is under way to it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_producer.connection import REST_SECONDS, FatalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_producer.connection import Link
    from finance_producer.publisher import Client, Publisher

ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class Recall:
    """Gets a stranded publisher going again.

    `connect` gives a client of a broker that has the topic, None if it was told to stop before; `arrived` the numbers that are
    in the topic, None if the broker does not tell.
    """

    connect: Callable[[Callable[[], bool]], Client | None]
    arrived: Callable[[], set[int] | None]
    link: Link
    patience_seconds: float
    stopping: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic

    def redeliver(self, publisher: Publisher) -> None:
        """Return when the topic has taken the orphans, or when asked to stop. Raises FatalError when patience is over."""
        deadline = self.monotonic() + self.patience_seconds
        self.link.topic.begin("the broker knows of no such topic")
        while publisher.needs_new_client and not self.stopping():
            self.link.check()
            if self.monotonic() >= deadline:
                raise FatalError(f"no broker has had the topic for {self.patience_seconds:g} s (DELIVERY_TIMEOUT_SECONDS)")
            self._try(publisher, deadline)
        if not publisher.needs_new_client:
            self.link.topic.end()

    def _try(self, publisher: Publisher, deadline: float) -> None:
        def over() -> bool:
            return self.stopping() or self.monotonic() >= deadline

        publisher.withdraw(ANSWER_SECONDS)
        client = self.connect(over)
        while client is not None and not over():
            arrived = self.arrived()
            if arrived is not None:
                publisher.resume(client, arrived)
                return
            client.poll(REST_SECONDS)
