"""Rows that are not what was committed: told by the digests of a table's records, named by commit. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.proof.judgement import FOLDERS
from finance_lake.proof.verdict import Code, Finding
from finance_lake.state.record import Total

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from finance_lake.proof.placing import Placing, Stretch
    from finance_lake.proof.scan import Sum
    from finance_lake.proof.snapshot import TableView
    from finance_lake.state.record import Offsets
    from finance_lake.state.table import Commit


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
    name: str, placing: Placing, differing: Sequence[tuple[Stretch, int]], *, is_complete: bool
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
