"""Make records that are malformed on purpose, for demonstrations and tests, with every reason of the contract in turn."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from finance_contract import examples

if TYPE_CHECKING:
    from collections.abc import Iterator


class MalformedInjector:
    """Makes malformed records as a fixed share of all records."""

    def __init__(self, rate: float, seed: int) -> None:
        """Keep the share at `rate`, 0 <= rate < 1."""
        share = Fraction(str(rate))
        self._per_tick = share / (1 - share)
        self._made = 0
        self._values = _cycles(list(examples.malformed().values()), seed) if rate else iter(())

    def due(self, ticks: int) -> list[bytes | None]:
        """Return the values (None is a tombstone) still needed to reach the share after `ticks` ticks in total."""
        count = int(ticks * self._per_tick) - self._made
        self._made += count
        return list(islice(self._values, count))


def _cycles(values: list[bytes | None], seed: int) -> Iterator[bytes | None]:
    """Yield all values repeatedly, in another order each time."""
    random = np.random.Generator(np.random.PCG64(seed))
    while True:
        for place in random.permutation(len(values)):
            yield values[place]
