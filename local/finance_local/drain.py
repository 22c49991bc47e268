"""Drain: after the producer has stopped, wait until the tables have reached the topic's end. Verify says what they hold."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_kafka.describe import describe_topic
from finance_storage.accounting import still_to_come
from finance_storage.delta_table import committed_offsets, row_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_kafka.offsets import Offsets
    from finance_storage.paths import LakePaths

PATIENCE_SECONDS = 120.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Drained:
    """How far the tables are, against the end of the topic."""

    end: Offsets
    committed: Offsets
    ticks: int
    quarantined: int

    def sentence(self, *, is_complete: bool) -> str:
        """One line for the terminal; whether all is there is the proof's to say."""
        ends = ", ".join(f"{partition}:{end}" for partition, end in sorted(self.end.items()))
        verdict = "all of the topic is in the tables" if is_complete else f"not all of it is in the tables: {self.committed}"
        return f"{self.ticks} rows, {self.quarantined} quarantined, end offsets {ends}: {verdict}."


def drain(bootstrap: str, topic: str, paths: LakePaths, is_interrupted: Callable[[], bool]) -> Drained:
    """Wait until the table has reached the topic's end offsets, or has not moved for PATIENCE_SECONDS.

    Raises BrokerUnavailableError, TopicNotFoundError.
    """
    broker = describe_topic(bootstrap, topic)
    committed: Offsets = {}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and not is_interrupted():
        now = committed_offsets(paths.ticks)
        if not still_to_come(now, broker):
            committed = now
            break
        if now != committed:
            committed, deadline = now, time.monotonic() + PATIENCE_SECONDS
        time.sleep(POLL_SECONDS)
    return Drained(broker.end, committed, row_count(paths.ticks), row_count(paths.quarantine))
