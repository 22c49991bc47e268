"""Coverage: how often each offset of a range occurs in a table, one byte per offset."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finance_kafka.offsets import OffsetRange
from finance_storage.offset_set import spans_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from finance_storage.offset_set import Mask, Offsets64, OffsetSet

MANY = 2  # any count above one
# Maximum number of ranges that a finding names, and of offsets that Spots keeps per partition.
MAX_NAMED = 20
MAX_OFFSETS_KEPT = 10_000


class Coverage:
    """How often each offset of `span` was seen. Needs a byte of memory per offset; the caller limits the span."""

    def __init__(self, span: OffsetRange) -> None:
        """Start with all counts at 0."""
        self.span = span
        self.times: NDArray[np.uint8] = np.zeros(max(0, span.count), np.uint8)
        self.rows = 0

    def add(self, offsets: Offsets64) -> None:
        """Count offsets, which must all be in the span."""
        self.rows += offsets.size
        places = offsets - self.span.start
        seen: NDArray[np.integer] | int = 1
        if np.any(places[1:] <= places[:-1]):  # else each occurs once, as in the files that the job writes
            places, seen = np.unique(places, return_counts=True)
        self.times[places] = np.minimum(self.times[places] + np.minimum(seen, MANY), MANY)

    def within(self, offsets: Offsets64) -> Mask:
        """Return a mask of the offsets that are in the span."""
        inside: Mask = (offsets >= self.span.start) & (offsets < self.span.end)
        return inside

    @property
    def distinct(self) -> int:
        """The number of distinct offsets seen."""
        return int(np.count_nonzero(self.times))

    def part(self, span: OffsetRange) -> slice:
        """Return the slice of `times` for a range, clipped to the span."""
        start, end = (min(max(edge, self.span.start), self.span.end) - self.span.start for edge in (span.start, span.end))
        return slice(start, max(start, end))


def runs(flags: Mask, start: int, most: int = MAX_NAMED) -> list[OffsetRange]:
    """Return the first `most` runs of true flags as ranges; the first flag is that of offset `start`."""
    edges = np.flatnonzero(flags[1:] != flags[:-1]) + 1
    if flags.size and flags[0]:
        edges = np.insert(edges, 0, 0)
    if edges.size % 2:
        edges = np.append(edges, flags.size)
    return [OffsetRange(start + int(first), start + int(end)) for first, end in edges[: 2 * most].reshape(-1, 2)]


class Spots:
    """Faulty rows: how many there are, and the offsets of the first ones."""

    def __init__(self) -> None:
        """Start with no rows."""
        self.count = 0
        self._offsets: dict[int, list[Offsets64]] = {}
        self._kept: dict[int, int] = {}

    def add(self, partitions: Offsets64, offsets: Offsets64) -> None:
        """Add rows by their coordinates."""
        self.count += offsets.size
        for partition in np.unique(partitions)[:MAX_NAMED].tolist():
            room = MAX_OFFSETS_KEPT - self._kept.get(partition, 0)
            kept = offsets[partitions == partition][:room].copy()
            if kept.size and (partition in self._kept or len(self._kept) < MAX_NAMED):
                self._offsets.setdefault(partition, []).append(kept)
                self._kept[partition] = self._kept.get(partition, 0) + kept.size

    def places(self) -> OffsetSet:
        """Return the ranges to name in a finding."""
        return first_of(spans_of({partition: np.concatenate(parts) for partition, parts in self._offsets.items()}))


def first_of(places: OffsetSet) -> OffsetSet:
    """Return the first `MAX_NAMED` ranges of each partition."""
    return {partition: ranges[:MAX_NAMED] for partition, ranges in places.items() if ranges}


def place(partition: int, ranges: Iterable[OffsetRange]) -> OffsetSet:
    """Return the ranges of one partition as places of a finding."""
    return first_of({partition: list(ranges)})
