"""Feeds of ticks that are ready to be published: from the simulated market, or from a replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from finance_contract import key
from finance_producer.encoder import Wire
from finance_producer.market import Market

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finance_producer.market import Integers

SECOND_NS = 1_000_000_000


class Ticks(NamedTuple):
    """Ticks with consecutive numbers from `first` on: message keys and values."""

    first: int
    keys: list[bytes]
    values: list[bytes]


class TickFeed(Protocol):
    """Where ticks come from. A tick's `seq` is its place in the feed, from 0 on."""

    @property
    def ended(self) -> bool:
        """Whether there are no more."""

    def take(self, count: int) -> Ticks:
        """Give the next `count` ticks; fewer only at the end."""


class Simulated:
    """The market's trades, endless; the same bytes for the same symbols, seed, source and readings of the clock."""

    ended = False

    def __init__(self, symbols: Sequence[str], seed: int, source: str, clock_ns: Callable[[], int]) -> None:
        """Open a market; `clock_ns` tells the time in nanoseconds since 1970."""
        self._market = Market(symbols, seed)
        self._wire = Wire(symbols, source)
        self._keys = [key(symbol) for symbol in symbols]
        self._clock_ns = clock_ns
        self._next = 0
        self._stamp = 0

    def take(self, count: int) -> Ticks:
        """Give the next `count` trades as ticks, spread evenly over the time since the last one, at most over a second."""
        trades = self._market.block(count)
        now = max(self._clock_ns(), self._stamp)
        stamps = spread(max(self._stamp, now - SECOND_NS), now, count)
        first, self._next = self._next, self._next + count
        self._stamp = now
        keys = [self._keys[symbol] for symbol in trades.symbol.tolist()]
        return Ticks(first, keys, self._wire.values(trades, stamps, first))


def spread(after: int, until: int, count: int) -> Integers:
    """Give `count` integers, evenly spaced, after `after`, the last of them `until`."""
    return after + np.arange(1, count + 1) * (until - after) // count
