"""Drain: after the producer has stopped, wait until the tables have reached the topic's end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_kafka.describe import describe_topic
from finance_storage.accounting import still_to_come
from finance_storage.delta_table import committed_offsets, row_count
from finance_storage.lake_identity import numbered_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_kafka.offsets import Offsets
    from finance_storage.paths import LakePaths

MAX_IDLE_SECONDS = 120.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Drained:
    """The position and row counts of the tables, and the end offsets of the topic, by the lake's partition."""

    end: Offsets
    committed: Offsets
    ticks: int
    quarantined: int

    def sentence(self, *, is_complete: bool) -> str:
        """Format as one line; `is_complete` is the result of verify."""
        ends = ", ".join(f"{partition}:{end}" for partition, end in sorted(self.end.items()))
        verdict = "all of the topic is in the tables" if is_complete else f"not all of it is in the tables: {self.committed}"
        return f"{self.ticks} rows, {self.quarantined} quarantined, end offsets {ends}: {verdict}."


def drain(bootstrap: str, topic: str, paths: LakePaths, is_interrupted: Callable[[], bool]) -> Drained:
    """Wait until ticks has reached the topic's end offsets, or has made no progress for MAX_IDLE_SECONDS.

    Raises BrokerUnavailableError, TopicNotFoundError.
    """
    broker = numbered_in(paths, describe_topic(bootstrap, topic))
    committed: Offsets = {}
    deadline = time.monotonic() + MAX_IDLE_SECONDS
    while time.monotonic() < deadline and not is_interrupted():
        current = committed_offsets(paths.ticks)
        if not still_to_come(current, broker):
            committed = current
            break
        if current != committed:
            committed, deadline = current, time.monotonic() + MAX_IDLE_SECONDS
        time.sleep(POLL_SECONDS)
    return Drained(broker.end, committed, row_count(paths.ticks), row_count(paths.quarantine))
