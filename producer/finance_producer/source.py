"""Where a run's ticks come from and when they are due, as the settings say.

The pace: TICK_SOURCE=replay with a REPLAY_SPEED above 0 keeps the time of the file's `ts_event`, that many times as fast (1: as
recorded, 86400: a day a second); whatever else, TICKS_PER_SECOND rules, 0 being as fast as it can.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from finance_producer.feed import Simulated
from finance_producer.ledger import new_source
from finance_producer.pace import Flat, Pace, Recorded, Steady
from finance_producer.replay import Replay
from finance_producer.rows import rows

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings

NAMED_REJECTS = 100


def source_name(settings: Settings) -> str:
    """Name this run; no other run has the name."""
    return new_source(f"sim-{settings.seed}" if settings.tick_source == "simulate" else "replay")


def open_feed(settings: Settings, source: str, log: FilteringBoundLogger) -> Simulated | Replay:
    """Give the feed. Raises UnreadableError for a file that cannot be replayed."""
    if settings.tick_source == "simulate" or settings.replay_file is None:
        return Simulated(settings.symbols, settings.seed, source, time.time_ns)
    return Replay(rows(settings.replay_file), source, Rejects(log).name)


def open_pace(settings: Settings, feed: Simulated | Replay, now: float) -> Pace:
    """Give the pace of a feed, from a monotonic clock's reading on."""
    if isinstance(feed, Replay) and settings.replay_speed:
        return Recorded(feed, settings.replay_speed, now)
    return Steady(settings.ticks_per_second, now) if settings.ticks_per_second else Flat()


class Rejects:
    """Names bad rows in the log, the first `NAMED_REJECTS` of them: a wrong file must not fill a disk with its lines."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Name them in `log`."""
        self._log = log
        self._named = 0

    def name(self, line: int, reason: str) -> None:
        """Name one."""
        self._named += 1
        if self._named <= NAMED_REJECTS:
            self._log.warning("row left out", line=line, reason=reason)
        if self._named == NAMED_REJECTS:
            self._log.warning("further rows that are left out are only counted")
