"""Rows that are not what was committed: found by the digests of a table's records, attributed to commits.

The newest record tells whether the rows of a table are the right ones; the older ones, as far as the log still has them, tell
where the wrong ones are. Each batch's commit says which offsets it spans and what the digest of its rows is. Rows that came in
another way, by a redrive or a recovery, blur the picture: they lie in the span of a batch that did not bring them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_kafka.offsets import OffsetRange
from finance_storage import digest
from finance_storage.commit_metadata import Total
from finance_verify.offset_checks import FOLDERS
from finance_verify.verdict import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.delta_table import Commit
    from finance_verify.data_files import FileRows, LoggedFile
    from finance_verify.scan import Scope, Sum
    from finance_verify.snapshot import TableView


def commits_at(table: TableView, position: Offsets) -> Iterator[Commit]:
    """Give a table's commits that are not beyond a position, newest first."""
    for commit in table.commits():
        if all(offset <= position.get(partition, 0) for partition, offset in commit.record.position.items()):
            yield commit


def expected_of(table: TableView, position: Offsets) -> Total:
    """What a table must hold at a position, by the newest of its records that is not beyond it."""
    newest = next(commits_at(table, position), None)
    return newest.record.total if newest else Total()


def differs(table: Sum, expected: Total) -> bool:
    """Whether the rows of a table are not what its records say."""
    return (table.rows, table.digest) != (expected.rows, int(expected.digest, 16))


def alterations(
    name: str, placing: Placing, differing: Sequence[tuple[CommitSpan, int]], *, is_complete: bool
) -> Iterator[Finding]:
    """Name the commits whose rows were altered.

    Where offsets are missing or doubled (`is_complete` is false), commits are named if they have all their rows.
    """
    told = [(one, rows) for one, rows in differing if is_complete or rows == one.rows]
    for stretch, rows in told:
        by = f"that commit {stretch.version} brought" if stretch.version is not None else "from before the log's oldest entries"
        count = f"{rows:,} rows" if rows == stretch.rows else f"{rows:,} rows instead of {stretch.rows:,}"
        what = f"the rows of {FOLDERS[name]} {by} are not those that were committed ({count})"
        blur = "; a redrive or recovery changed the table, so the place is a guess" if placing.is_blurred else ""
        yield Finding(Code.ALTERED, what + blur, {partition: [span] for partition, span in stretch.spans.items() if span.count})
    if not told and is_complete:
        yield Finding(
            Code.ALTERED, f"the rows of {FOLDERS[name]} are not those that were committed; the log does not tell which"
        )


def misdatings(name: str, table: Sum) -> Iterator[Finding]:
    """Judge the column `date`, which stands in the log and not in the files."""
    if count := table.misdated.count:
        what = (
            f"{count:,} rows of {FOLDERS[name]} have another `date` than the UTC day of their kafka_timestamp, or ingested_at"
        )
        yield Finding(Code.ALTERED, what, table.misdated.places())


NOBODY = -1


class CommitSpan(NamedTuple):
    """Offsets that one commit brought, or several whose records are gone (`version` is None), and what their rows must be."""

    version: int | None
    spans: Scope
    rows: int
    digest: int


class Placing(NamedTuple):
    """All spans of a table, and whether rows also came or went in other ways."""

    commit_spans: list[CommitSpan]
    is_blurred: bool


def commit_spans(scope: Scope, commits: Iterable[Commit]) -> Placing:
    """Divide a table's range among the commits that are given, the newest first."""
    found: list[CommitSpan] = []
    reached: dict[int, int] = {}
    blurred = False
    oldest: CommitMetadata | None = None
    for version, record in sorted(commits):
        spans = {partition: span for partition, span in record.offsets.items() if span.count > 0}
        if not spans or any(span.start < reached.get(partition, 0) for partition, span in spans.items()):
            blurred |= any(record.rows.values())
            continue
        oldest = oldest or record
        reached |= {partition: span.end for partition, span in spans.items()}
        found.append(CommitSpan(version, spans, sum(record.rows.values()), int(record.digest, 16)))
    return Placing([*_before(scope, found, oldest), *found], blurred)


def _before(scope: Scope, found: list[CommitSpan], oldest: CommitMetadata | None) -> Iterable[CommitSpan]:
    if oldest is None:
        return
    began = dict[int, int]()
    for stretch in reversed(found):
        began |= {partition: span.start for partition, span in stretch.spans.items()}
    spans = {partition: OffsetRange(span.start, began.get(partition, span.end)) for partition, span in scope.items()}
    rows = oldest.total.rows - sum(oldest.rows.values())
    if rows:
        of_rows = (int(oldest.total.digest, 16) - int(oldest.digest, 16)) % digest.MODULUS
        yield CommitSpan(None, spans, rows, of_rows)


class CommitSpanSums:
    """What the rows of each stretch add up to."""

    def __init__(self, placing: Placing) -> None:
        """Begin with nothing."""
        self._stretches = placing.commit_spans
        self._rows = np.zeros(len(placing.commit_spans), np.int64)
        self._digests = np.zeros(len(placing.commit_spans), np.uint64)
        self._ranges = {
            partition: _Ranges(placing.commit_spans, partition)
            for partition in {p for one in placing.commit_spans for p in one.spans}
        }
        self._lock = threading.Lock()

    def add(self, _file: LoggedFile, rows: FileRows) -> None:
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

    def differing(self) -> list[tuple[CommitSpan, int]]:
        """Give the spans whose rows are not those that were committed, with the number of rows that they have."""
        found = zip(self._stretches, self._rows.tolist(), self._digests.tolist(), strict=True)
        return [(stretch, rows) for stretch, rows, of_rows in found if (rows, of_rows) != (stretch.rows, stretch.digest)]


class _Ranges:
    """The spans of one partition, to look offsets up in."""

    def __init__(self, all_stretches: list[CommitSpan], partition: int) -> None:
        numbered = [(index, one.spans[partition]) for index, one in enumerate(all_stretches) if partition in one.spans]
        numbered.sort(key=lambda pair: pair[1].start)
        self._indices = np.array([index for index, _ in numbered])
        self._starts = np.array([span.start for _, span in numbered])
        self._ends = np.array([span.end for _, span in numbered])

    def find(self, offsets: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._starts, offsets, side="right") - 1
        inside = (at >= 0) & (offsets < self._ends[at])
        return np.where(inside, self._indices[at], NOBODY)
