"""Upkeep of a derived table, by its only writer: small files are merged, files no longer needed removed, the log summed up.

delta-rs does all of it, so a driver that another one has replaced is refused here too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deltalake import CommitProperties

from finance_job.maintenance.compaction import LOG_CHECKPOINT_INTERVAL
from finance_job.transaction import NO_HOOKS, last_log_checkpoint, write_log_checkpoint
from finance_storage.delta_table import add_actions, open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from finance_storage.place import Place

MAX_SMALL_FILES = 60
SMALL_BYTES = 16 * 1024 * 1024
VACUUM_SECONDS = 24 * 3600.0
VACUUM_HOURS = 168  # as for the ticks: files that no version of the last week needs
PROPERTIES = CommitProperties(max_commit_retries=0)


class Upkeep:
    """Upkeep of one derived table, between its revisions."""

    def __init__(self, folder: Place) -> None:
        """Do nothing yet."""
        self._folder = folder
        self._vacuumed: float | None = None

    def step(self) -> None:
        """Merge the small files if there are many. That is what leaves files behind, so VACUUM follows it, once a day."""
        table = open_table(self._folder)
        if table is None:
            return
        if _small_files(table) > MAX_SMALL_FILES:
            table.optimize.compact(
                target_size=8 * SMALL_BYTES,
                max_concurrent_tasks=1,
                commit_properties=PROPERTIES,
                post_commithook_properties=NO_HOOKS,
            )
            self._vacuum(table)
        if table.version() - last_log_checkpoint(self._folder) >= LOG_CHECKPOINT_INTERVAL:
            write_log_checkpoint(self._folder, table.version())

    def _vacuum(self, table: DeltaTable) -> None:
        if self._vacuumed is not None and time.monotonic() - self._vacuumed <= VACUUM_SECONDS:
            return
        table.vacuum(
            VACUUM_HOURS,
            dry_run=False,
            full=True,  # also files that no commit names, because their job died
            enforce_retention_duration=False,  # the property of the table; the hours here decide
            commit_properties=PROPERTIES,
            post_commithook_properties=NO_HOOKS,
        )
        self._vacuumed = time.monotonic()


def _small_files(table: DeltaTable) -> int:
    return sum(size < SMALL_BYTES for size in add_actions(table).column("size_bytes").to_pylist())
