"""Placing: by which commit came the rows that are not what was committed.

The newest record tells whether the rows of a table are the right ones; the older ones, as far as the log still has them, tell
where the wrong ones are. Each batch's commit says which offsets it spans and what the digest of its rows is. Rows that came in
another way, by a redrive or a recovery, blur the picture: they lie in the span of a batch that did not bring them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_lake.state import digest
from finance_lake.state.record import OffsetRange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finance_lake.proof.content import DataFile, Rows
    from finance_lake.proof.scan import Scope
    from finance_lake.state.record import CommitRecord
    from finance_lake.state.table import Commit

NOBODY = -1


class Stretch(NamedTuple):
    """Offsets that one commit brought, or several whose records are gone (`version` is None), and what their rows must be."""

    version: int | None
    spans: Scope
    rows: int
    digest: int


class Placing(NamedTuple):
    """All stretches of a table, and whether rows also came or went in other ways."""

    stretches: list[Stretch]
    is_blurred: bool


def stretches(scope: Scope, commits: Iterable[Commit]) -> Placing:
    """Divide a table's range among the commits that are given, the newest first."""
    found: list[Stretch] = []
    reached: dict[int, int] = {}
    blurred = False
    oldest: CommitRecord | None = None
    for version, record in sorted(commits):
        spans = {partition: span for partition, span in record.offsets.items() if span.count > 0}
        if not spans or any(span.start < reached.get(partition, 0) for partition, span in spans.items()):
            blurred |= any(record.rows.values())
            continue
        oldest = oldest or record
        reached |= {partition: span.end for partition, span in spans.items()}
        found.append(Stretch(version, spans, sum(record.rows.values()), int(record.digest, 16)))
    return Placing([*_before(scope, found, oldest), *found], blurred)


def _before(scope: Scope, found: list[Stretch], oldest: CommitRecord | None) -> Iterable[Stretch]:
    if oldest is None:
        return
    began = dict[int, int]()
    for stretch in reversed(found):
        began |= {partition: span.start for partition, span in stretch.spans.items()}
    spans = {partition: OffsetRange(span.start, began.get(partition, span.end)) for partition, span in scope.items()}
    rows = oldest.total.rows - sum(oldest.rows.values())
    if rows:
        of_rows = (int(oldest.total.digest, 16) - int(oldest.digest, 16)) % digest.MODULUS
        yield Stretch(None, spans, rows, of_rows)


class StretchSums:
    """What the rows of each stretch add up to."""

    def __init__(self, placing: Placing) -> None:
        """Begin with nothing."""
        self._stretches = placing.stretches
        self._rows = np.zeros(len(placing.stretches), np.int64)
        self._digests = np.zeros(len(placing.stretches), np.uint64)
        self._ranges = {
            partition: _Ranges(placing.stretches, partition)
            for partition in {p for one in placing.stretches for p in one.spans}
        }
        self._lock = threading.Lock()

    def add(self, _file: DataFile, rows: Rows) -> None:
        """Add rows; those that are in no stretch are passed over. May be called by several threads."""
        which = np.full(len(rows.offsets), NOBODY)
        for partition, ranges in self._ranges.items():
            mine = rows.partitions == partition
            which[mine] = ranges.find(rows.offsets[mine])
        digests = digest.row_digests(rows.batch)
        placed = which != NOBODY
        with self._lock:
            np.add.at(self._digests, which[placed], digests[placed])
            self._rows += np.bincount(which[placed], minlength=len(self._rows))

    def differing(self) -> list[tuple[Stretch, int]]:
        """Give the stretches whose rows are not those that were committed, with the number of rows that they have."""
        found = zip(self._stretches, self._rows.tolist(), self._digests.tolist(), strict=True)
        return [(stretch, rows) for stretch, rows, of_rows in found if (rows, of_rows) != (stretch.rows, stretch.digest)]


class _Ranges:
    """The stretches of one partition, to look offsets up in."""

    def __init__(self, all_stretches: list[Stretch], partition: int) -> None:
        numbered = [(index, one.spans[partition]) for index, one in enumerate(all_stretches) if partition in one.spans]
        numbered.sort(key=lambda pair: pair[1].start)
        self._indices = np.array([index for index, _ in numbered])
        self._starts = np.array([span.start for _, span in numbered])
        self._ends = np.array([span.end for _, span in numbered])

    def find(self, offsets: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._starts, offsets, side="right") - 1
        inside = (at >= 0) & (offsets < self._ends[at])
        return np.where(inside, self._indices[at], NOBODY)
