"""The ticks of a file as a feed for a run; those that are in the topic already are passed over."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from finance_producer.feed import Ticks
from finance_producer.reading.encode import encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_producer.reading.convert import Converted
    from finance_storage.ledger import Range


class FileFeed:
    """A feed of a file's ticks, numbered by their place among them.

    Attributes:
        rows: number of rows that became ticks
        left_out: number of rows left out, by reason code
        ticks: number of ticks read so far
        passed: number of ticks passed over, because they had arrived
        done: how much of the file is read, from 0 to 1

    """

    def __init__(
        self,
        blocks: Iterator[Converted],
        source: str,
        reject: Callable[[int, str], None],
        arrived: Sequence[Range] = (),
    ) -> None:
        """Read the first block; `reject` is called with line and reason of each row left out. `arrived` is sorted."""
        self._blocks = blocks
        self._source = source
        self._reject = reject
        self._arrived = list(arrived)
        self._first = 0
        self._keys: list[bytes] = []
        self._values: list[bytes] = []
        self._at = 0
        self.rows = self.ticks = self.passed = 0
        self.done = 0.0
        self.left_out: Counter[str] = Counter()
        self.ended = False
        self._advance()

    def take(self, count: int) -> Ticks:
        """Return the next ticks, at most `count`, with consecutive numbers. Raises UnreadableFileError."""
        self._pass_over()
        end = min(self._at + count, len(self._values), self._next_arrived() - self._first)
        ticks = Ticks(self._first + self._at, self._keys[self._at : end], self._values[self._at : end])
        self._at = end
        self._advance()
        return ticks

    def _next_arrived(self) -> int:
        return self._arrived[0][0] if self._arrived else self.ticks

    def _pass_over(self) -> None:
        """Move behind ticks that have arrived."""
        while self._arrived and self._arrived[0][0] <= self._first + self._at:
            first, last = self._arrived[0]
            until = min(last + 1, self.ticks)
            self.passed += max(0, until - max(self._first + self._at, first))
            self._at = max(self._at, until - self._first)
            if last >= self.ticks:
                self._arrived[0] = (self.ticks, last)
                return
            del self._arrived[0]

    def _advance(self) -> None:
        """Read blocks until there is a tick to take, or the end."""
        self._pass_over()
        while self._at >= len(self._values) and not self.ended:
            block = next(self._blocks, None)
            if block is None:
                self.ended = True
                return
            self._open(block)
            self._pass_over()

    def _open(self, block: Converted) -> None:
        self._first = self.ticks
        self._keys, self._values = encoded(block.ticks, self._source, self._first)
        self._at = 0
        self.ticks += len(self._values)
        self.rows += block.rows
        self.done = block.done
        for line, reason in block.left_out:
            self.left_out[reason.partition(":")[0]] += 1
            self._reject(line, reason)
