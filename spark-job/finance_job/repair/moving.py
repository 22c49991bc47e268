"""Move rows between the two tables, exactly once, even if the move is killed between its two commits.

The first commit appends the rows to the other table, names their offsets and increments a count. The second one removes them
from the table where they were and increments its count too. In between the rows are in both tables; verify, the guard and the
next start of the job recognise this by the counts, and the start completes the move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_job.repair import rewrite
from finance_storage.lake_identity import CorruptStateError
from finance_storage.offset_set import count
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_job.transaction import Change
    from finance_job.writer import Writer
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths

    Half = Callable[[LakePaths, Writer, OffsetSet], None]


class RepairNotNowError(Exception):
    """Rows cannot be moved now. The message says why and what to do."""


def complete(paths: LakePaths, writer: Writer) -> int:
    """Complete a redrive or a retraction that was interrupted. Return the number of records moved, 0 if none."""
    redriven, retracted = writer.half_redriven(), writer.half_retracted()
    if redriven:
        take_out_of_quarantine(paths, writer, redriven)
    if retracted:
        take_out_of_ticks(paths, writer, retracted)
    return count(redriven) + count(retracted)


def require_whole_batch(writer: Writer) -> None:
    """Raise RepairNotNowError if a batch is only in the quarantine: its commit to ticks is still missing."""
    if half := writer.half_committed():
        places = ", ".join(f"{partition}:{span.start}-{span.end - 1}" for partition, span in sorted(half.items()))
        raise RepairNotNowError(
            f"the batch {places} is only in the quarantine so far: start the job, which completes it, then try again"
        )


def move(paths: LakePaths, writer: Writer, offsets: OffsetSet, append: Half, take_out: Half) -> int:
    """Commit both halves of a move; without offsets, neither. Return the number of records moved."""
    if offsets:
        append(paths, writer, offsets)
        take_out(paths, writer, offsets)
    return count(offsets)


def require_rows(table: str, appended: Change, offsets: OffsetSet) -> None:
    """Raise CorruptStateError if the table that rows are moved from does not have one row at each of the offsets."""
    if (rows := sum(appended.rows.values())) != count(offsets):
        raise CorruptStateError(f"{table} has {rows} rows at {count(offsets)} offsets: `make recover` repairs it")


def take_out_of_quarantine(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> None:
    """Commit the second half of a redrive."""
    change = rewrite.without(writer.table(QUARANTINE), QUARANTINE, paths.quarantine, offsets)
    writer.commit(QUARANTINE, change, redriven=offsets)


def take_out_of_ticks(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> None:
    """Commit the second half of a retraction."""
    change = rewrite.without(writer.table(TICKS), TICKS, paths.ticks, offsets)
    writer.commit(TICKS, change, retracted=offsets)
