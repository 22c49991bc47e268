"""Compute how many ticks are due now and how long to sleep until more are, from readings of a monotonic clock.

A schedule counts from its start, so that rounding errors do not add up.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BLOCK_TICKS = 1000
MIN_SLEEP_SECONDS = 0.02  # a block of a few ticks costs little more than one tick
MAX_SLEEP_SECONDS = 0.1  # bounds the delay until a signal is noticed
FORGIVEN_SECONDS = 1.0
SECOND_NS = 1_000_000_000


class Pace(Protocol):
    """A schedule of ticks; `now` is the reading of a monotonic clock in seconds."""

    def due(self, now: float) -> int:
        """Return the number of ticks to publish now, at most `MAX_BLOCK_TICKS`, and count them as published."""

    def rest(self, now: float) -> float:
        """Return the seconds to wait before the next call of `due`, at most `MAX_SLEEP_SECONDS`."""


class Unthrottled:
    """As fast as possible, in blocks of a size."""

    def __init__(self, block_ticks: int = MAX_BLOCK_TICKS) -> None:
        """Publish blocks of `block_ticks`."""
        self._block_ticks = block_ticks

    def due(self, now: float) -> int:  # noqa: ARG002
        """Return the size of a whole block."""
        return self._block_ticks

    def rest(self, now: float) -> float:  # noqa: ARG002
        """Return 0: do not wait."""
        return 0.0


class FixedRate:
    """A fixed number of ticks a second, the first one immediately.

    If it falls more than `FORGIVEN_SECONDS` behind (the broker was unreachable, the computer asleep), the schedule shifts: a
    market does not trade faster to make up for missed time.
    """

    def __init__(self, per_second: float, start: float) -> None:
        """Begin at the clock's reading `start`."""
        self._per_second = per_second
        self._start = start
        self._counted = 0

    def due(self, now: float) -> int:
        """Return the number of ticks that are due, and count them as published."""
        self._start += max(now - self._next() - FORGIVEN_SECONDS, 0)
        reached = int((now - self._start) * self._per_second) + 1
        count = min(max(reached - self._counted, 0), MAX_BLOCK_TICKS)
        self._counted += count
        return count

    def rest(self, now: float) -> float:
        """Return the seconds until the next tick."""
        return _rest(self._next() - now)

    def _next(self) -> float:
        return self._start + self._counted / self._per_second


class Ready(NamedTuple):
    """A tick that waits to be published: message key and value, and its `ts_event` in nanoseconds."""

    key: bytes
    value: bytes
    ts_event: int | None


class Ahead(Protocol):
    """A feed whose next ticks can be inspected."""

    def ahead(self) -> Sequence[Ready]:
        """Return the next ticks without taking them."""


class EventTimeReplay:
    """The intervals of the `ts_event` of a replay's ticks, `speed` times as fast; the first tick is due immediately.

    A tick without a time, or earlier than one before it, is due immediately.
    """

    def __init__(self, replay: Ahead, speed: float, start: float) -> None:
        """Begin at the clock's reading `start`."""
        self._replay = replay
        self._speed = speed
        self._start = start
        self._first: int | None = None

    def due(self, now: float) -> int:
        """Return the number of ticks that are due; the caller must take them from the feed."""
        return sum(1 for _ in takewhile(lambda ready: self._when(ready) <= now, self._replay.ahead()))

    def rest(self, now: float) -> float:
        """Return the seconds until the next tick."""
        upcoming = self._replay.ahead()
        return _rest(self._when(upcoming[0]) - now) if upcoming else 0.0

    def _when(self, ready: Ready) -> float:
        if ready.ts_event is None:
            return self._start
        if self._first is None:
            self._first = ready.ts_event
        return self._start + (ready.ts_event - self._first) / SECOND_NS / self._speed


def _rest(wait: float) -> float:
    return min(max(wait, MIN_SLEEP_SECONDS), MAX_SLEEP_SECONDS) if wait > 0 else 0.0
