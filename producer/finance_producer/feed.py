"""Feeds of ticks that are ready to publish: from the simulated market or from a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from finance_contract import key
from finance_producer.encoder import TradeEncoder
from finance_producer.market import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finance_producer.history import History
    from finance_producer.market import Integers

SECOND_NS = 1_000_000_000


class Ticks(NamedTuple):
    """Message keys and values of ticks with consecutive numbers, starting at `first`."""

    first: int
    keys: list[bytes]
    values: list[bytes]


class TickFeed(Protocol):
    """A source of ticks. A tick's `seq` is its index in the feed, starting at 0."""

    @property
    def ended(self) -> bool:
        """Whether there are no more ticks."""

    def take(self, count: int) -> Ticks:
        """Return the next `count` ticks; there may be fewer."""


class Simulated:
    """An endless feed of the market's trades; the same symbols, seed, source and clock readings give the same bytes."""

    ended = False

    def __init__(self, symbols: Sequence[str], seed: int, source: str, clock_ns: Callable[[], int]) -> None:
        """Open a market; `clock_ns` returns the time in nanoseconds since 1970."""
        self._market = Market(symbols, seed)
        self._encoder = TradeEncoder(symbols, source)
        self._keys = [key(symbol) for symbol in symbols]
        self._clock_ns = clock_ns
        self._next = 0
        self._stamp = 0
        self._history: History | None = None

    def begin_with(self, history: History) -> None:
        """Take the event times from a history until it is over."""
        self._history = history

    def take(self, count: int) -> Ticks:
        """Return the next `count` trades as ticks, spread evenly over the time since the last one, at most a second."""
        trades = self._market.block(count)
        after, self._stamp = self._stretch(count)
        first, self._next = self._next, self._next + count
        keys = [self._keys[symbol] for symbol in trades.symbol.tolist()]
        return Ticks(first, keys, self._encoder.values(trades, spread(after, self._stamp, count), first))

    def _stretch(self, count: int) -> tuple[int, int]:
        if self._history and not self._history.is_over:
            return self._history.take(count)
        now = max(self._clock_ns(), self._stamp)
        return max(self._stamp, now - SECOND_NS), now


def spread(after: int, until: int, count: int) -> Integers:
    """Return `count` evenly spaced integers greater than `after`, the last one equal to `until`."""
    return after + np.arange(1, count + 1) * (until - after) // count
