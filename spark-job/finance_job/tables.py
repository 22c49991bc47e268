"""The two tables, and how they are made. deltalake makes them: it takes milliseconds, where Spark's builder takes seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import DeltaTable, Schema

from finance_job.columns import FIELDS, STATISTICS
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.table import open_table

if TYPE_CHECKING:
    from pathlib import Path

# `date`, the UTC date of `kafka_timestamp`, is a column of ticks that no data file holds.
PARTITIONS = {TICKS: ["date"], QUARANTINE: []}


def create_tables(layout: Layout) -> None:
    """Make the tables that are not there yet."""
    for name in (TICKS, QUARANTINE):
        if open_table(layout.table(name)) is None:
            _create(layout.table(name), name)


def _create(folder: Path, name: str) -> None:
    columns = [*FIELDS[name], *(pa.field(column, pa.date32()) for column in PARTITIONS[name])]
    DeltaTable.create(
        str(folder), Schema.from_arrow(pa.schema(columns)), partition_by=PARTITIONS[name], configuration=_properties(name)
    )


def _properties(name: str) -> dict[str, str]:
    # Any Delta reader opens these tables: reader version 1, writer version 2, no feature that needs newer ones.
    return {
        "delta.enableDeletionVectors": "false",
        "delta.columnMapping.mode": "none",
        "delta.dataSkippingStatsColumns": ",".join(STATISTICS[name]),
        # As long as VACUUM keeps files that are no longer live: versions that cannot be read need no entry.
        "delta.logRetentionDuration": "interval 7 days",
    }
