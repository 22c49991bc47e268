"""A table's log, read with deltalake while the job writes: how far it is, what it promises, which files it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from finance_lake.state.record import Total, record_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from finance_lake.state.record import CommitRecord, Offsets

HISTORY_STEP = 100


class Commit(NamedTuple):
    """One of the job's commits."""

    version: int
    record: CommitRecord


def open_table(folder: Path, version: int | None = None) -> DeltaTable | None:
    """Open a table, as of a version or as it is; None if there is none yet."""
    try:
        return DeltaTable(str(folder), version=version)
    except TableNotFoundError:
        return None


def commits(table: DeltaTable) -> Iterator[Commit]:
    """Give the job's commits that the log still has, newest first; those of maintenance carry no record and are passed over."""
    told = 0
    limit = HISTORY_STEP
    while True:
        history = table.history(limit)
        for entry in history[told:]:
            if record := record_in(entry.get("userMetadata")):
                yield Commit(entry["version"], record)
        if len(history) < limit:
            return
        told, limit = len(history), limit * 10


def newest_record(table: DeltaTable) -> CommitRecord | None:
    """Return the record of the job's newest commit."""
    newest = next(commits(table), None)
    return newest.record if newest else None


def total(table: DeltaTable) -> Total:
    """What the table must hold, by the newest record."""
    record = newest_record(table)
    return record.total if record else Total()


def committed_offsets(ticks: Path) -> Offsets:
    """Return the next offset that the lake needs, by Kafka partition; empty before the first batch."""
    table = open_table(ticks)
    record = newest_record(table) if table else None
    return record.position if record else {}


def live_rows(table: DeltaTable) -> int:
    """Count the rows of a table by the statistics in its log."""
    return sum(table.get_add_actions(flatten=True).column("num_records").to_pylist())


def row_count(folder: Path) -> int:
    """Count the rows of the table in a folder; 0 if there is none."""
    table = open_table(folder)
    return live_rows(table) if table else 0
