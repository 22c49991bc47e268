"""A consistent snapshot of both tables while the job writes them.

Ticks is opened first. Each batch is committed to the quarantine before ticks, so a quarantine opened afterwards contains all
rows of the batches in ticks. Its rows beyond ticks' position belong to later batches and are left out by their offsets. Only a
redrive can make two tables that were opened one after the other disagree. The redrive counters in the commit metadata show it,
and the snapshot is taken again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from finance_storage.commit_metadata import in_both, is_untouched
from finance_storage.delta_table import commits, newest_metadata, open_table
from finance_storage.lake_identity import identity_of
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.data_files import columns_of, live_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.delta_table import Commit
    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import OffsetSet
    from finance_storage.paths import LakePaths
    from finance_storage.place import Place
    from finance_verify.data_files import LoggedFile

TRIES = 20
REST_SECONDS = 0.25


class TableView(NamedTuple):
    """One table at a version.

    Attributes:
        name: `ticks` or `quarantine`
        folder: folder of the table
        version: table version
        identity: identity of the lake that it belongs to; None in lakes made before version 0.2
        metadata: of the job's newest commit; None before the first
        files: live data files according to the log
        columns: names and types of the columns
        reader: minimum reader version of the Delta protocol that the table requires

    """

    name: str
    folder: Place
    version: int
    identity: Identity | None
    metadata: CommitMetadata | None
    files: list[LoggedFile]
    columns: pa.Schema
    reader: int

    @property
    def is_new(self) -> bool:
        """Whether it has never stored anything and no driver has opened it."""
        return is_untouched(len(self.files), self.metadata)

    @property
    def redrives(self) -> int:
        """The number of redrives so far."""
        return self.metadata.redrives if self.metadata else 0

    @property
    def moves(self) -> tuple[int, int]:
        """The numbers of redrives and of retractions so far."""
        return self.redrives, self.metadata.retractions if self.metadata else 0

    @property
    def rows(self) -> int:
        """The number of rows in its files, according to the log."""
        return sum(file.rows or 0 for file in self.files)

    def commits(self) -> Iterator[Commit]:
        """Yield the job's commits up to this version, newest first."""
        return commits(self.folder, self.version)


class TablePair(NamedTuple):
    """Both tables, and the offsets that are in both because a redrive or a retraction is under way."""

    ticks: TableView
    quarantine: TableView
    moving: OffsetSet

    @property
    def tables(self) -> tuple[TableView, TableView]:
        """Ticks and quarantine."""
        return self.ticks, self.quarantine


def open_tables(paths: LakePaths) -> TablePair | None:
    """Open both tables; None if one is missing.

    If the counters of redrives and retractions never agree, the last attempt is returned and its rows are counted as they are.
    Raises deltalake's DeltaError if a log cannot be read, CorruptStateError if an identity cannot be read.
    """
    for pause in [REST_SECONDS] * TRIES:
        ticks, quarantine = (view(paths, name) for name in (TICKS, QUARANTINE))
        if ticks is None or quarantine is None:
            return None
        moving = in_both(ticks.metadata, quarantine.metadata)
        pair = TablePair(ticks, quarantine, moving)
        if moving or ticks.moves == quarantine.moves:
            return pair
        time.sleep(pause)
    return pair


def view(paths: LakePaths, name: str) -> TableView | None:
    """Open the newest version of a table; None if it does not exist."""
    folder = paths.table(name)
    table = open_table(folder)
    if table is None:
        return None
    return TableView(
        name=name,
        folder=folder,
        version=table.version(),
        identity=identity_of(table),
        metadata=newest_metadata(table, folder),
        files=live_files(table, name, folder),
        columns=columns_of(table),
        reader=table.protocol().min_reader_version,
    )
