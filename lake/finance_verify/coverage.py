"""Coverage: how often each offset of a range stands in a table, a byte an offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finance_kafka.offsets import OffsetRange
from finance_storage.offset_set import spans_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from finance_storage.offset_set import Mask, Offsets64, OffsetSet

MANY = 2  # stands for any number above one
# Ranges that a finding names; offsets that a Spots keeps of each partition.
NAMED = 20
KEPT = 10_000


class Coverage:
    """How often each offset of `span` was seen. Memory: a byte for each offset, which the caller has found to be bearable."""

    def __init__(self, span: OffsetRange) -> None:
        """Begin with none seen."""
        self.span = span
        self.times: NDArray[np.uint8] = np.zeros(max(0, span.count), np.uint8)
        self.rows = 0

    def add(self, offsets: Offsets64) -> None:
        """Count offsets, which must all be in the span."""
        self.rows += offsets.size
        places = offsets - self.span.start
        seen: NDArray[np.integer] | int = 1
        if np.any(places[1:] <= places[:-1]):  # else each is there once, as in the files that the job writes
            places, seen = np.unique(places, return_counts=True)
        self.times[places] = np.minimum(self.times[places] + np.minimum(seen, MANY), MANY)

    def within(self, offsets: Offsets64) -> Mask:
        """Tell which offsets are in the span."""
        inside: Mask = (offsets >= self.span.start) & (offsets < self.span.end)
        return inside

    @property
    def distinct(self) -> int:
        """How many offsets were seen."""
        return int(np.count_nonzero(self.times))

    def part(self, span: OffsetRange) -> slice:
        """Where a range, cut to the span, is in `times`."""
        start, end = (min(max(edge, self.span.start), self.span.end) - self.span.start for edge in (span.start, span.end))
        return slice(start, max(start, end))


def runs(flags: Mask, start: int, most: int = NAMED) -> list[OffsetRange]:
    """Give the first runs of true flags as ranges; the first flag is that of offset `start`."""
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    if flags.size and flags[0]:
        edges = np.insert(edges, 0, 0)
    if edges.size % 2:
        edges = np.append(edges, flags.size)
    return [OffsetRange(start + int(first), start + int(end)) for first, end in edges[: 2 * most].reshape(-1, 2)]


class Spots:
    """Rows that something is wrong with: how many, and where the first of them are."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0
        self._offsets: dict[int, list[Offsets64]] = {}
        self._kept: dict[int, int] = {}

    def add(self, partitions: Offsets64, offsets: Offsets64) -> None:
        """Note rows by their coordinates."""
        self.count += offsets.size
        for partition in np.unique(partitions)[:NAMED].tolist():
            room = KEPT - self._kept.get(partition, 0)
            found = offsets[partitions == partition][:room].copy()
            if found.size and (partition in self._kept or len(self._kept) < NAMED):
                self._offsets.setdefault(partition, []).append(found)
                self._kept[partition] = self._kept.get(partition, 0) + found.size

    def places(self) -> OffsetSet:
        """Give the ranges to name."""
        return first_of(spans_of({partition: np.concatenate(found) for partition, found in self._offsets.items()}))


def first_of(places: OffsetSet) -> OffsetSet:
    """Give only as many ranges of each partition as are named."""
    return {partition: ranges[:NAMED] for partition, ranges in places.items() if ranges}


def place(partition: int, ranges: Iterable[OffsetRange]) -> OffsetSet:
    """Give the ranges of one partition as places."""
    return first_of({partition: list(ranges)})
