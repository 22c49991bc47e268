"""Find rows that differ from what was committed, by digest, and attribute them to commits.

The newest commit metadata shows whether a table's rows are correct. Older metadata, as far back as the log goes, locates the
wrong rows: each batch's commit states the offsets that it spans and the digest of its rows. Rows added by a redrive or a
recovery make this less precise, because they lie in the span of a batch that did not add them.
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
    """Yield a table's commits that are not beyond a position, newest first."""
    for commit in table.commits():
        if all(offset <= position.get(partition, 0) for partition, offset in commit.metadata.position.items()):
            yield commit


def expected_of(table: TableView, position: Offsets) -> Total:
    """Return the totals that a table must have at a position: those of its newest commit that is not beyond it."""
    newest = next(commits_at(table, position), None)
    return newest.metadata.total if newest else Total()


def differs(table: Sum, expected: Total) -> bool:
    """Whether the rows of a table differ from the expected row count and digest."""
    return (table.rows, table.digest) != (expected.rows, int(expected.digest, 16))


def altered_commits(
    name: str, attribution: Attribution, differing: Sequence[tuple[CommitSpan, int]], *, is_complete: bool
) -> Iterator[Finding]:
    """Yield a finding for each commit whose rows were altered.

    If offsets are missing or duplicated (`is_complete` is false), only commits with the right number of rows are named.
    """
    altered = [(span, rows) for span, rows in differing if is_complete or rows == span.rows]
    for commit, rows in altered:
        origin = f"added by commit {commit.version}" if commit.version is not None else "from before the log's oldest entries"
        count = f"{rows:,} rows" if rows == commit.rows else f"{rows:,} rows instead of {commit.rows:,}"
        what = f"the rows of {FOLDERS[name]} {origin} differ from what was committed ({count})"
        doubt = "; a redrive or recovery changed the table, so the place is a guess" if attribution.is_blurred else ""
        yield Finding(Code.ALTERED, what + doubt, {partition: [span] for partition, span in commit.spans.items() if span.count})
    if not altered and is_complete:
        what = f"the rows of {FOLDERS[name]} differ from what was committed; the log does not show which rows"
        yield Finding(Code.ALTERED, what)


def misdatings(name: str, table: Sum) -> Iterator[Finding]:
    """Check the partition column `date`, which is in the log and not in the files."""
    if count := table.misdated.count:
        what = (
            f"{count:,} rows of {FOLDERS[name]} have a `date` that is not the UTC day of their kafka_timestamp or ingested_at"
        )
        yield Finding(Code.ALTERED, what, table.misdated.places())


NO_SPAN = -1


class CommitSpan(NamedTuple):
    """Offsets that one commit added, or several without metadata (`version` is None), with the expected rows and digest."""

    version: int | None
    spans: Scope
    rows: int
    digest: int


class Attribution(NamedTuple):
    """All commit spans of a table, and whether rows were also added or removed outside of batches."""

    commit_spans: list[CommitSpan]
    is_blurred: bool


def commit_spans(scope: Scope, commits: Iterable[Commit]) -> Attribution:
    """Divide a table's range among its commits."""
    known: list[CommitSpan] = []
    reached: dict[int, int] = {}
    blurred = False
    oldest: CommitMetadata | None = None
    for version, metadata in sorted(commits):
        spans = {partition: span for partition, span in metadata.offsets.items() if span.count > 0}
        if not spans or any(span.start < reached.get(partition, 0) for partition, span in spans.items()):
            blurred |= any(metadata.rows.values())
            continue
        oldest = oldest or metadata
        reached |= {partition: span.end for partition, span in spans.items()}
        known.append(CommitSpan(version, spans, sum(metadata.rows.values()), int(metadata.digest, 16)))
    return Attribution([*_before(scope, known, oldest), *known], blurred)


def _before(scope: Scope, known: list[CommitSpan], oldest: CommitMetadata | None) -> Iterable[CommitSpan]:
    if oldest is None:
        return
    starts = dict[int, int]()
    for commit in reversed(known):
        starts |= {partition: span.start for partition, span in commit.spans.items()}
    spans = {partition: OffsetRange(span.start, starts.get(partition, span.end)) for partition, span in scope.items()}
    rows = oldest.total.rows - sum(oldest.rows.values())
    if rows:
        of_rows = (int(oldest.total.digest, 16) - int(oldest.digest, 16)) % digest.MODULUS
        yield CommitSpan(None, spans, rows, of_rows)


class CommitSpanSums:
    """Row count and digest of the rows in each commit span."""

    def __init__(self, attribution: Attribution) -> None:
        """Start with zero rows."""
        self._spans = attribution.commit_spans
        self._rows = np.zeros(len(attribution.commit_spans), np.int64)
        self._digests = np.zeros(len(attribution.commit_spans), np.uint64)
        self._ranges = {
            partition: _Ranges(attribution.commit_spans, partition)
            for partition in {number for commit in attribution.commit_spans for number in commit.spans}
        }
        self._lock = threading.Lock()

    def add(self, _file: LoggedFile, rows: FileRows) -> None:
        """Add rows; those outside of all spans are ignored. Thread-safe."""
        indices = np.full(len(rows.offsets), NO_SPAN)
        for partition, ranges in self._ranges.items():
            in_partition = rows.partitions == partition
            indices[in_partition] = ranges.find(rows.offsets[in_partition])
        digests = digest.row_digests(rows.batch)
        placed = indices != NO_SPAN
        with self._lock:
            np.add.at(self._digests, indices[placed], digests[placed])
            self._rows += np.bincount(indices[placed], minlength=len(self._rows))

    def differing(self) -> list[tuple[CommitSpan, int]]:
        """Return the spans whose rows differ from what was committed, with their actual number of rows."""
        sums = zip(self._spans, self._rows.tolist(), self._digests.tolist(), strict=True)
        return [(span, rows) for span, rows, of_rows in sums if (rows, of_rows) != (span.rows, span.digest)]


class _Ranges:
    """The commit spans of one partition, for looking up offsets."""

    def __init__(self, commits: list[CommitSpan], partition: int) -> None:
        numbered = [(index, commit.spans[partition]) for index, commit in enumerate(commits) if partition in commit.spans]
        numbered.sort(key=lambda pair: pair[1].start)
        self._indices = np.array([index for index, _ in numbered])
        self._starts = np.array([span.start for _, span in numbered])
        self._ends = np.array([span.end for _, span in numbered])

    def find(self, offsets: np.ndarray) -> np.ndarray:
        at = np.searchsorted(self._starts, offsets, side="right") - 1
        inside = (at >= 0) & (offsets < self._ends[at])
        return np.where(inside, self._indices[at], NO_SPAN)
