"""Watch the broker's answers: beat the heartbeat, update the link, and log figures every `SUMMARY_SECONDS`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.connection import Link
    from finance_producer.publisher import Publisher
    from finance_role.heartbeat import Heartbeat

SUMMARY_SECONDS = 10.0
MIN_PATIENCE_SECONDS = 10.0
MISSED_INTERVALS = 3


def patience_seconds(ticks_per_second: float) -> float:
    """Return for how long a producer of this rate may have no answer and still count as alive; 0 is as fast as possible."""
    interval = 1 / ticks_per_second if ticks_per_second else 0
    return max(MIN_PATIENCE_SECONDS, MISSED_INTERVALS * interval)


class ProgressWatch:
    """Checks progress each time the queue has been served."""

    def __init__(
        self,
        publisher: Publisher,
        link: Link,
        heartbeat: Heartbeat,
        log: FilteringBoundLogger,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin without answers."""
        self._publisher = publisher
        self._deliveries = publisher.deliveries
        self._link = link
        self._heartbeat = heartbeat
        self._log = log
        self._monotonic = monotonic
        self._answers = 0
        self._logged_at = monotonic()
        self._logged_acknowledged = 0

    def check(self) -> None:
        """Beat if the broker has answered since the last check, or if nothing is outstanding; log figures if it is time."""
        answers = self._deliveries.acknowledged + self._deliveries.malformed.acknowledged
        if answers > self._answers:
            self._link.on_answer()
        if answers > self._answers or (answers and not self._publisher.waiting):
            self._heartbeat.beat()
        self._answers = answers
        if self._monotonic() - self._logged_at >= SUMMARY_SECONDS:
            self._log_figures()

    def _log_figures(self) -> None:
        now, acknowledged = self._monotonic(), self._deliveries.acknowledged
        per_second = (acknowledged - self._logged_acknowledged) / (now - self._logged_at)
        self._logged_at, self._logged_acknowledged = now, acknowledged
        self._log.info("publishing", per_second=round(per_second, 1), **self.figures())

    def figures(self) -> dict[str, int]:
        """Return the figures to log: ticks acknowledged, failed and waiting, queue-full retries, malformed records if any."""
        malformed = self._deliveries.malformed
        return {
            "acknowledged": self._deliveries.acknowledged,
            "failed": self._deliveries.failed,
            "waiting": self._publisher.waiting,
            "retries": self._publisher.retries,
        } | ({"malformed": malformed.acknowledged} if malformed.made else {})
