"""A set of numbers with a bit for each, in chunks that exist only where there are numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finance_kafka.offsets import OffsetRange
from finance_storage.offset_set import union
from finance_verify.coverage import MAX_NAMED, runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_storage.offset_set import Offsets64

    Bits = np.ndarray[tuple[int], np.dtype[np.uint8]]

SHIFT = 20
NUMBERS_PER_CHUNK = 1 << SHIFT
BYTES_PER_CHUNK = NUMBERS_PER_CHUNK // 8


class Room:
    """How many more chunks several sets may have together. When it is `exceeded`, none of them has all numbers any more."""

    def __init__(self, most_bytes: int) -> None:
        """Allow about `most_bytes` of memory."""
        self.exceeded = False
        self._left = most_bytes // BYTES_PER_CHUNK

    def take(self) -> bool:
        """Return whether there is room for another chunk, and use it."""
        self._left -= 1
        self.exceeded |= self._left < 0
        return self._left >= 0

    def give_back(self, chunks: int) -> None:
        """Accept the room of a set that is no longer needed."""
        self._left += chunks


class NumberSet:
    """Numbers that were added, and how many of them were new."""

    def __init__(self, room: Room) -> None:
        """Start empty."""
        self.count = 0
        self._room = room
        self._chunks: dict[int, Bits] = {}

    def add(self, numbers: Offsets64) -> int:
        """Add numbers of 0 or more, in any order; return how many were new."""
        before, numbers = self.count, np.sort(numbers)
        for index in np.unique(numbers >> SHIFT).tolist():
            first, last = np.searchsorted(numbers, [index << SHIFT, (index + 1) << SHIFT])
            self._add(index, numbers[first:last] - (index << SHIFT))
        return self.count - before

    def _add(self, index: int, places: Offsets64) -> None:
        if index not in self._chunks and not self._room.take():
            return
        flags = np.zeros(NUMBERS_PER_CHUNK, bool)
        flags[places] = True
        old = self._chunks.get(index, np.zeros(BYTES_PER_CHUNK, np.uint8))
        new: Bits = old | np.packbits(flags)
        self.count += int(np.bitwise_count(new).sum(dtype=np.int64) - np.bitwise_count(old).sum(dtype=np.int64))
        self._chunks[index] = new

    def clear(self) -> None:
        """Remove all numbers, and give their room to other sets."""
        self._room.give_back(len(self._chunks))
        self._chunks.clear()

    def absent(self, span: OffsetRange) -> list[OffsetRange]:
        """Return the first numbers of a range that are not in the set, as at most `MAX_NAMED` ranges."""
        found: list[OffsetRange] = []
        for gap in self._gaps(span):
            found.append(gap)
            if len(found) > MAX_NAMED * 2:  # a gap may be in two parts, where a chunk ends
                break
        return union({0: found}).get(0, [])[:MAX_NAMED]

    def _gaps(self, span: OffsetRange) -> Iterator[OffsetRange]:
        at = span.start
        for index in sorted(self._chunks):
            base = index << SHIFT
            start, end = max(base, at), min(base + NUMBERS_PER_CHUNK, span.end)
            if start >= end:
                continue
            if at < start:
                yield OffsetRange(at, start)
            flags = np.unpackbits(self._chunks[index])[start - base : end - base].astype(bool)
            yield from runs(~flags, start, NUMBERS_PER_CHUNK)
            at = end
        if at < span.end:
            yield OffsetRange(at, span.end)
