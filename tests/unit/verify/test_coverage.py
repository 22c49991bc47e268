"""Counting offsets: bytes, runs, spots."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finance_kafka.offsets import OffsetRange
from finance_verify.coverage import MAX_NAMED, MAX_OFFSETS_KEPT, Coverage, Spots, runs


@given(st.lists(st.lists(st.integers(10, 30))))
def test_offsets_are_counted_up_to_two(batches: list[list[int]]) -> None:
    coverage = Coverage(OffsetRange(10, 31))
    for batch in batches:
        coverage.add(np.array(batch, np.int64))
    times = Counter(offset for batch in batches for offset in batch)
    assert coverage.times.tolist() == [min(2, times[offset]) for offset in range(10, 31)]
    assert coverage.rows == sum(times.values())
    assert coverage.distinct == len(times)


@given(st.lists(st.booleans()), st.integers(0, 10**12), st.integers(1, 5))
def test_runs_are_the_first_ranges_of_true(flags: list[bool], start: int, most: int) -> None:
    found = runs(np.array(flags, dtype=bool), start, most)
    everything = runs(np.array(flags, dtype=bool), start, len(flags) + 1)
    assert found == everything[:most]
    offsets = [offset for span in everything for offset in range(span.start, span.end)]
    assert offsets == [start + place for place, flag in enumerate(flags) if flag]


def test_a_part_is_cut_to_the_span() -> None:
    coverage = Coverage(OffsetRange(10, 20))
    assert [
        coverage.times[coverage.part(OffsetRange(*span))].size for span in [(0, 12), (12, 15), (18, 99), (30, 40), (5, 3)]
    ] == [
        2,
        3,
        2,
        0,
        0,
    ]


def test_spots_count_all_and_keep_the_first() -> None:
    spots = Spots()
    for start in range(0, 10 * MAX_OFFSETS_KEPT, MAX_OFFSETS_KEPT):
        spots.add(np.zeros(MAX_OFFSETS_KEPT, np.int64), np.arange(start, start + MAX_OFFSETS_KEPT) * 2)
    assert spots.count == 10 * MAX_OFFSETS_KEPT
    assert spots.places() == {0: [OffsetRange(2 * number, 2 * number + 1) for number in range(MAX_NAMED)]}


def test_spots_keep_few_of_many_partitions() -> None:
    spots = Spots()
    spots.add(np.arange(100_000), np.arange(100_000))
    assert spots.count == 100_000
    assert len(spots.places()) == MAX_NAMED
