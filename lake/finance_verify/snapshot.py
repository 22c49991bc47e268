"""A snapshot: both tables as of one moment, while the job writes them.

Ticks are opened first. Each batch is committed to the quarantine before it is committed to ticks, so whatever belongs to the
batches in ticks is in a quarantine that is opened after them; what is there beyond ticks' position belongs to later batches and
is left out by its offsets. Only a redrive can make two tables that were opened one after the other disagree: it is seen by the
counters in the records, and the snapshot is taken again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from finance_storage.commit_metadata import half_redriven, is_untouched
from finance_storage.delta_table import commits, newest_metadata, open_table
from finance_storage.lake_identity import identity_of
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.data_files import columns_of, live_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.delta_table import Commit
    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths
    from finance_verify.data_files import LoggedFile

TRIES = 20
REST_SECONDS = 0.25


class TableView(NamedTuple):
    """One table as of a version.

    Attributes:
        name: `ticks` or `quarantine`
        folder: where it is
        version: which
        identity: of the lake that it belongs to; None in lakes made before version 0.2
        record: of the newest of the job's commits; None before the first
        files: what the log says is live
        columns: names and types of the columns
        reader: version of Delta's protocol that a reader must know

    """

    name: str
    folder: Path
    version: int
    identity: Identity | None
    record: CommitMetadata | None
    files: list[LoggedFile]
    columns: pa.Schema
    reader: int

    @property
    def is_new(self) -> bool:
        """Whether nothing has ever been stored in it, and no driver has opened it."""
        return is_untouched(len(self.files), self.record)

    @property
    def redrives(self) -> int:
        """How many redrives it has seen."""
        return self.record.redrives if self.record else 0

    @property
    def rows(self) -> int:
        """Rows of its files, as the log has them."""
        return sum(file.rows or 0 for file in self.files)

    def commits(self) -> Iterator[Commit]:
        """Give the job's commits up to this version, newest first."""
        return commits(self.folder, self.version)


class TablePair(NamedTuple):
    """Both tables, and the coordinates that a redrive under way has put into ticks and not yet taken out of the quarantine."""

    ticks: TableView
    quarantine: TableView
    moving: OffsetSet

    @property
    def tables(self) -> tuple[TableView, TableView]:
        """Both of them."""
        return self.ticks, self.quarantine


def take(paths: LakePaths) -> TablePair | None:
    """Take a snapshot; None if a table is missing. Counters that never agree leave their rows to be counted as they are.

    Raises deltalake's DeltaError for a log that cannot be read, CorruptStateError for such an identity.
    """
    for rest in [REST_SECONDS] * TRIES:
        ticks, quarantine = (view(paths, name) for name in (TICKS, QUARANTINE))
        if ticks is None or quarantine is None:
            return None
        moving = half_redriven(ticks.record, quarantine.record)
        taken = TablePair(ticks, quarantine, moving)
        if moving or ticks.redrives == quarantine.redrives:
            return taken
        time.sleep(rest)
    return taken


def view(paths: LakePaths, name: str) -> TableView | None:
    """Open a table as it is now; None if there is none."""
    folder = paths.table(name)
    table = open_table(folder)
    if table is None:
        return None
    return TableView(
        name=name,
        folder=folder,
        version=table.version(),
        identity=identity_of(table),
        record=newest_metadata(table),
        files=live_files(table, name, folder),
        columns=columns_of(table),
        reader=table.protocol().min_reader_version,
    )
