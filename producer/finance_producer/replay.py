"""Replay a user's rows as ticks: rows that the contract accepts are sent digit for digit, others are reported and left out."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from finance_producer.feed import Ticks
from finance_producer.pace import Ready
from finance_producer.reading.encode import encoded, times_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_producer.reading.convert import Converted

AHEAD = 1000


class Replay:
    """A feed of the good rows in the order of the file, numbered without gaps."""

    def __init__(self, blocks: Iterator[Converted], source: str, reject: Callable[[int, str], None]) -> None:
        """Read the first rows; `reject` is called with line and reason of each bad row.

        Raises what `blocks` raises, as do `ahead` and `take`.
        """
        self._blocks = blocks
        self._source = source
        self._reject = reject
        self._read = 0
        self._taken = 0
        self.undated = 0
        self._exhausted = False
        self._ready: deque[Ready] = deque()
        self.ahead()

    @property
    def ended(self) -> bool:
        """Whether all rows have been taken."""
        return self._exhausted and not self._ready

    def ahead(self) -> Sequence[Ready]:
        """Return the next ticks, at most `AHEAD`, without taking them. After bad rows there may be none before `ended`."""
        if len(self._ready) < AHEAD and not self._exhausted:
            self._read_block()
        return list(islice(self._ready, AHEAD))

    def take(self, count: int) -> Ticks:
        """Take and return the next `count` ticks, or as many as are ahead."""
        available = len(self.ahead())
        taken = [self._ready.popleft() for _ in range(min(count, available))]
        first, self._taken = self._taken, self._taken + len(taken)
        self.undated += sum(tick.ts_event is None for tick in taken)
        return Ticks(first, [ready.key for ready in taken], [ready.value for ready in taken])

    def _read_block(self) -> None:
        block = next(self._blocks, None)
        if block is None:
            self._exhausted = True
            return
        for line, reason in block.left_out:
            self._reject(line, reason)
        keys, values = encoded(block.ticks, self._source, self._read)
        self._read += len(values)
        self._ready.extend(map(Ready, keys, values, times_of(block.ticks)))
