"""Sets of offsets, as sorted and disjoint ranges by Kafka partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finance_kafka.offsets import OffsetRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Offsets64 = NDArray[np.int64]
    Mask = NDArray[np.bool_]

OffsetSet = dict[int, list[OffsetRange]]
MAX_RANGES_SHOWN = 8


def spans_of(offsets: dict[int, Offsets64]) -> OffsetSet:
    """Join the offsets of each partition, given in any order, into ranges."""
    return {partition: ranges for partition, values in offsets.items() if (ranges := _ranges(np.unique(values)))}


def of_coordinates(partitions: Offsets64, offsets: Offsets64) -> OffsetSet:
    """Join coordinates, given in any order as one array of partitions and one of offsets, into ranges."""
    return spans_of({int(partition): offsets[partitions == partition] for partition in np.unique(partitions)})


def spans_between(start: dict[int, int], end: dict[int, int]) -> OffsetSet:
    """Return the range `[start, end)` of each partition in `end`; `start` defaults to 0."""
    ranges = {partition: OffsetRange(start.get(partition, 0), last) for partition, last in end.items()}
    return {partition: [span] for partition, span in ranges.items() if span.count > 0}


def count(spans: OffsetSet) -> int:
    """Return the number of offsets."""
    return sum(span.count for ranges in spans.values() for span in ranges)


def minus(spans: OffsetSet, others: OffsetSet) -> OffsetSet:
    """Return the offsets of `spans` that are not in `others`."""
    remaining = {partition: _without(ranges, others.get(partition, [])) for partition, ranges in spans.items()}
    return {partition: ranges for partition, ranges in remaining.items() if ranges}


def common(spans: OffsetSet, others: OffsetSet) -> OffsetSet:
    """Return the offsets that are in both sets."""
    return minus(spans, minus(spans, others))


def union(*all_spans: OffsetSet) -> OffsetSet:
    """Return the offsets that are in any of the sets."""
    combined: OffsetSet = {}
    for spans in all_spans:
        for partition, ranges in spans.items():
            combined[partition] = _merged([*combined.get(partition, []), *ranges])
    return combined


def inside(spans: OffsetSet, partitions: Offsets64, offsets: Offsets64) -> Mask:
    """Return a mask of the coordinates that are in the set."""
    mask = np.zeros(len(offsets), dtype=bool)
    for partition, ranges in spans.items():
        starts = np.array([span.start for span in ranges])
        ends = np.array([span.end for span in ranges])
        at = np.searchsorted(starts, offsets, side="right") - 1
        mask |= (partitions == partition) & (at >= 0) & (offsets < ends[at])
    return mask


def text(spans: OffsetSet) -> str:
    """Format for display, ends included: `partition 0: 5-9, 12; partition 2: 7`. Long lists are cut."""
    return "; ".join(f"partition {partition}: {_text(ranges)}" for partition, ranges in sorted(spans.items()))


def _ranges(offsets: Offsets64) -> list[OffsetRange]:
    if not len(offsets):
        return []
    cuts = np.flatnonzero(np.diff(offsets) != 1)
    starts, ends = np.append(offsets[0], offsets[cuts + 1]), np.append(offsets[cuts], offsets[-1]) + 1
    return [OffsetRange(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]


def _without(ranges: list[OffsetRange], others: list[OffsetRange]) -> list[OffsetRange]:
    remaining = []
    for span in ranges:
        start = span.start
        for other in others:
            if other.end <= start or other.start >= span.end:
                continue
            if other.start > start:
                remaining.append(OffsetRange(start, other.start))
            start = other.end
        if start < span.end:
            remaining.append(OffsetRange(start, span.end))
    return remaining


def _merged(ranges: Iterable[OffsetRange]) -> list[OffsetRange]:
    merged: list[OffsetRange] = []
    for span in sorted(ranges, key=lambda span: span.start):
        if merged and span.start <= merged[-1].end:
            merged[-1] = OffsetRange(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _text(ranges: list[OffsetRange]) -> str:
    shown = [f"{span.start}-{span.end - 1}" if span.count > 1 else f"{span.start}" for span in ranges[:MAX_RANGES_SHOWN]]
    return ", ".join(shown) + (f" and {len(ranges) - MAX_RANGES_SHOWN} more ranges" if len(ranges) > MAX_RANGES_SHOWN else "")
