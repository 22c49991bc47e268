"""Whatever rows are dropped, duplicated or altered in a correct lake, verify finds exactly those."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import BAD, GOOD, BuiltLake
from tests.support.tampering import at, found, judge, rewrite, set_column

if TYPE_CHECKING:
    from collections.abc import Callable

DROP, DOUBLE, ALTER = "drop", "double", "alter"
NAMES = {GOOD: TICKS, BAD: QUARANTINE}
batches = st.lists(
    st.tuples(st.integers(0, 1), st.lists(st.sampled_from([GOOD, GOOD, BAD]), max_size=6)), min_size=1, max_size=5
)
Coordinate = tuple[int, int]


def drop(partition: int, offset: int) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: rows.filter([not is_at for is_at in at(rows, partition, offset).to_pylist()])


def double(partition: int, offset: int) -> Callable[[pa.Table], pa.Table]:
    return lambda rows: pa.concat_tables([rows, rows.filter(at(rows, partition, offset))])


def alter(partition: int, offset: int) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        name = "symbol" if "symbol" in rows.schema.names else "reason"
        mask = at(rows, partition, offset).to_pylist()
        values = rows.column(name).to_pylist()
        return set_column(rows, name, ["OTHER" if is_at else old for is_at, old in zip(mask, values, strict=True)])

    return change


CHANGES = {DROP: drop, DOUBLE: double, ALTER: alter}


def numbers(places: dict[int, list[tuple[int, int]]]) -> set[Coordinate]:
    return {
        (partition, offset)
        for partition, ranges in places.items()
        for first, last in ranges
        for offset in range(first, last + 1)
    }


def span_of(lake_batches: list[tuple[int, list[bytes]]], coordinate: Coordinate) -> set[Coordinate]:
    """Return the coordinates of the batch that added a row."""
    ends = {0: 0, 1: 0}
    for partition, values in lake_batches:
        added = {(partition, ends[partition] + place) for place in range(len(values))}
        ends[partition] += len(values)
        if coordinate in added:
            return added
    raise AssertionError(coordinate)


@settings(deadline=None, max_examples=40)
@given(batches, st.data())
def test_verify_finds_exactly_the_changes(lake_batches: list[tuple[int, list[bytes]]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = BuiltLake(Path(folder), partitions=2)
        rows: dict[Coordinate, str] = {}
        for partition, values in lake_batches:
            start = lake.ends[partition]
            rows |= {(partition, start + place): NAMES[value] for place, value in enumerate(values)}
            lake.store(list(values), partition)
        assert judge(lake).findings == ()
        kinds = st.sampled_from([DROP, DOUBLE, ALTER])
        changes = data.draw(st.dictionaries(st.sampled_from(sorted(rows)), kinds, max_size=4)) if rows else {}
        for coordinate, kind in changes.items():
            rewrite(lake, rows[coordinate], CHANGES[kind](*coordinate))

        report = judge(lake)

        places = {code: numbers(ranges) for code, ranges in found(report).items()}
        by_kind = {kind: {coordinate for coordinate, change in changes.items() if change == kind} for kind in CHANGES}
        assert places.get(Code.GAP, set()) == by_kind[DROP]
        assert places.get(Code.DUPLICATE, set()) == by_kind[DOUBLE]
        assert report.figures.lost == len(by_kind[DROP])
        assert report.figures.doubled == len(by_kind[DOUBLE])
        if not by_kind[DROP] | by_kind[DOUBLE]:
            expected = set().union(*(span_of(lake_batches, coordinate) for coordinate in by_kind[ALTER]))
            assert places.get(Code.ALTERED, set()) == expected
        expected_code = (
            Code.GAP if by_kind[DROP] else Code.DUPLICATE if by_kind[DOUBLE] else Code.ALTERED if changes else Code.COMPLETE
        )
        assert report.code is expected_code
