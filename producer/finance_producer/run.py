"""One run of the producer: publish ticks from the feed when they are due, and record acknowledgements in the ledger."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_producer.connection import Link
    from finance_producer.feed import TickFeed
    from finance_producer.malformed_injector import MalformedInjector
    from finance_producer.pace import Pace
    from finance_producer.publisher import Publisher
    from finance_producer.redelivery import Redelivery
    from finance_producer.watch import ProgressWatch
    from finance_storage.ledger import LedgerWriter

FULL_QUEUE_REST_SECONDS = 0.05
DRAIN_REST_SECONDS = 0.1


@dataclass(frozen=True)
class Run:
    """The parts of a run. `stopping` returns whether it has been asked to stop."""

    feed: TickFeed
    pace: Pace
    injector: MalformedInjector
    publisher: Publisher
    ledger: LedgerWriter
    link: Link
    redelivery: Redelivery
    watch: ProgressWatch
    stopping: Callable[[], bool]
    monotonic: Callable[[], float] = time.monotonic

    def until_end(self, max_ticks: int) -> None:
        """Publish until the feed ends or `max_ticks` are made (0: no limit) and answered, or until asked to stop.

        Raises FatalError if the client cannot go on or the topic stays missing, and what the feed and the ledger raise.
        """
        limit = max_ticks or sys.maxsize
        while not (self.stopping() or self.feed.ended or self.publisher.deliveries.made >= limit):
            self._publish(min(self.pace.due(self.monotonic()), limit - self.publisher.deliveries.made))
            self._serve(self.pace.rest(self.monotonic()))
        while self.publisher.waiting and not self.stopping():
            self._serve(DRAIN_REST_SECONDS)

    def finish(self, flush_seconds: float, **figures: int) -> int:
        """Wait up to `flush_seconds` for answers, close the ledger and return the number of records left unsent.

        The ledger's last line also has `figures`.
        """
        self.publisher.finish(flush_seconds)
        self._settle()
        self.ledger.close(**self.publisher.deliveries.figures(), **figures)
        return self.publisher.deliveries.unsent

    def _publish(self, count: int) -> None:
        if count:
            self.publisher.publish(self.feed.take(count), self._wait)
            self.publisher.publish_malformed(self.injector.due(self.publisher.deliveries.made), self._wait)

    def _wait(self) -> bool:
        self._serve(FULL_QUEUE_REST_SECONDS)
        return not self.stopping()

    def _serve(self, seconds: float) -> None:
        self.publisher.serve(seconds)
        if self.publisher.needs_new_client:
            self.redelivery.redeliver(self.publisher)
        self.link.check()
        self._settle()
        self.ledger.write()
        self.watch.check()

    def _settle(self) -> None:
        for block in self.publisher.deliveries.settled():
            self.ledger.note(block.acknowledged_ranges(), block.failed_ranges())
