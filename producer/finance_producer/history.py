"""The history of a new lake: the same market in the past, published before the live ticks as fast as the broker accepts it.

Its event times are in order and end at the present, including the time that publishing takes. Its rate is the live one, unless
that would be too many ticks. Only event times differ from live ticks: trades, numbers and ledger go on without a break.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from finance_producer.pace import MAX_BLOCK_TICKS, SECOND_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_producer.pace import Pace

MAX_TICKS = 1_000_000
MAX_PER_SECOND = 1_000  # far fewer than any machine publishes, so that the history reaches the present


def history_rate(minutes: float, ticks_per_second: float, max_ticks: int) -> float:
    """Return the history's ticks per second of event time.

    It is the live rate (0: as fast as possible), at most MAX_PER_SECOND, and at most what gives MAX_TICKS in all,
    or `max_ticks` if that is less and not 0.
    """
    most = min(max_ticks or MAX_TICKS, MAX_TICKS)
    return min(ticks_per_second or math.inf, MAX_PER_SECOND, most / (60 * minutes))


class History:
    """Event times from some minutes ago to the present, evenly spaced.

    Attributes:
        begin_ns: where it begins, in nanoseconds since 1970
        per_second: ticks per second of event time
        ticks: ticks that have their times
        is_over: whether it has reached the present

    """

    def __init__(self, minutes: float, per_second: float, clock_ns: Callable[[], int]) -> None:
        """Begin `minutes` before the clock's reading, in nanoseconds since 1970."""
        self.begin_ns = clock_ns() - round(minutes * 60 * SECOND_NS)
        self.per_second = per_second
        self.ticks = 0
        self.is_over = False
        self._clock_ns = clock_ns
        self._most = 2 * self.planned(minutes)  # so that a clock set far forward does not make it endless

    def planned(self, minutes: float) -> int:
        """Return the number of ticks in this many minutes."""
        return round(minutes * 60 * self.per_second)

    def due(self) -> int:
        """Return the number of ticks up to the present, at most MAX_BLOCK_TICKS. The first 0 ends the history for good."""
        reached = int((self._clock_ns() - self.begin_ns) / SECOND_NS * self.per_second)
        count = max(min(reached, self._most) - self.ticks, 0)
        self.is_over = self.is_over or not count
        return 0 if self.is_over else min(count, MAX_BLOCK_TICKS)

    def take(self, count: int) -> tuple[int, int]:
        """Return the time before the next `count` ticks and the time of the last one, and count them as made."""
        after, self.ticks = self._time(), self.ticks + count
        return after, self._time()

    def _time(self) -> int:
        return self.begin_ns + int(self.ticks * SECOND_NS / self.per_second)


class HistoryFirst:
    """The pace of a feed that begins with a history: as fast as possible until the present, then another pace from there."""

    def __init__(self, history: History, live: Callable[[float], Pace]) -> None:
        """Call `live` with the reading of the monotonic clock at the end of the history; it returns the pace from then on."""
        self._history = history
        self._begin = live
        self._live: Pace | None = None

    def due(self, now: float) -> int:
        """Return the number of ticks to publish now."""
        if self._live is None:
            if count := self._history.due():
                return count
            self._live = self._begin(now)
        return self._live.due(now)

    def rest(self, now: float) -> float:
        """Return the seconds to wait; 0 during the history."""
        return self._live.rest(now) if self._live else 0.0
