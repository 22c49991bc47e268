"""Doubles: where the ticks stand that have the same number of one source."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from finance_lake.state.spans import inside, spans_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from finance_lake.proof.content import DataFile, Rows
    from finance_lake.proof.sequences import Judged
    from finance_lake.state.record import OffsetRange
    from finance_lake.state.spans import Spans

# Numbers of each source whose places are named.
NAMED = 8


class Place(NamedTuple):
    """A coordinate of the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """As `make recover` takes it."""
        return f"{self.partition}:{self.offset}"


# By source, then by number.
Places = dict[str, dict[int, list[Place]]]


class Doubles:
    """Looks for the rows of some numbers."""

    def __init__(self, judged: Mapping[str, Judged], excused: Spans) -> None:
        """Take the sources; rows that are excused are passed over."""
        self.found: Places = {
            source: {number: [] for number in _first(one.doubled_ranges)} for source, one in judged.items() if one.doubled
        }
        self._excused = excused
        self._lock = threading.Lock()

    def add(self, _file: DataFile, rows: Rows) -> None:
        """Look at rows; may be called by several threads."""
        sources = rows.batch.column("source").to_numpy(zero_copy_only=False)
        numbers = pc.fill_null(rows.batch.column("seq"), -1).to_numpy()
        counts = ~inside(self._excused, rows.partitions, rows.offsets)
        for source, wanted in self.found.items():
            mine = np.flatnonzero(counts & np.isin(numbers, list(wanted)) & (sources == source))
            with self._lock:
                for row in mine.tolist():
                    wanted[int(numbers[row])].append(Place(int(rows.partitions[row]), int(rows.offsets[row])))


def spans_at(places: Mapping[int, Iterable[Place]]) -> Spans:
    """Give the places of one source as ranges."""
    every = {place for one in places.values() for place in one}
    partitions = {place.partition for place in every}
    return spans_of(
        {one: np.array([place.offset for place in every if place.partition == one], np.int64) for one in partitions}
    )


def told(places: Mapping[int, Iterable[Place]]) -> str:
    """Tell where the ticks of each number are."""
    return "; ".join(f"{number} at {' and '.join(map(str, sorted(found)))}" for number, found in places.items())


def _first(ranges: Iterable[OffsetRange]) -> list[int]:
    numbers: list[int] = []
    for span in ranges:
        numbers += range(span.start, min(span.end, span.start + NAMED - len(numbers)))
        if len(numbers) >= NAMED:
            break
    return numbers
