"""Upkeep of a derived table, by delta-spark as its only writer: small files are merged, and files no longer needed removed.

The log needs none: delta-spark writes its checkpoints and removes entries after a week, by the table's properties.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from delta.tables import DeltaTable

from finance_storage.delta_table import add_actions, open_table

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

MAX_SMALL_FILES = 60
SMALL_BYTES = 16 * 1024 * 1024
VACUUM_SECONDS = 24 * 3600.0
VACUUM_HOURS = 168.0  # as for the ticks: files that no version of the last week needs


class Upkeep:
    """Upkeep of one derived table, between its revisions."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        """Do nothing yet. `spark` is `sessions.few_session`, whose settings say which files are small."""
        self._spark = spark
        self._folder = folder
        self._vacuumed: float | None = None

    def step(self) -> None:
        """Merge the small files if there are many. That is what leaves files behind, so VACUUM follows it, once a day."""
        if self._small_files() <= MAX_SMALL_FILES:
            return
        table = DeltaTable.forPath(self._spark, str(self._folder))
        table.optimize().executeCompaction()
        if self._vacuumed is None or time.monotonic() - self._vacuumed > VACUUM_SECONDS:
            table.vacuum(VACUUM_HOURS)
            self._vacuumed = time.monotonic()

    def _small_files(self) -> int:
        table = open_table(self._folder)
        sizes = add_actions(table).column("size_bytes").to_pylist() if table else []
        return sum(size < SMALL_BYTES for size in sizes)
