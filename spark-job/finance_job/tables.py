"""The two tables, and how they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delta.tables import DeltaTable
from pyspark.sql.pandas.types import from_arrow_schema

from finance_job.columns import FIELDS, STATISTICS
from finance_lake.state.layout import QUARANTINE, TICKS, Layout

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def create_tables(spark: SparkSession, layout: Layout) -> None:
    """Make the tables that are not there yet."""
    for name in (TICKS, QUARANTINE):
        if not DeltaTable.isDeltaTable(spark, str(layout.table(name))):
            _create(spark, layout, name)


def _create(spark: SparkSession, layout: Layout, name: str) -> None:
    builder = DeltaTable.create(spark).location(str(layout.table(name))).addColumns(from_arrow_schema(FIELDS[name]))
    if name == TICKS:
        builder = builder.addColumn("date", "DATE", comment="UTC date of kafka_timestamp").partitionedBy("date")
    for key, value in _properties(name).items():
        builder = builder.property(key, value)
    builder.execute()


def _properties(name: str) -> dict[str, str]:
    return {
        # Any Delta reader opens these tables: no feature that needs a newer one.
        "delta.minReaderVersion": "1",
        "delta.minWriterVersion": "2",
        "delta.enableDeletionVectors": "false",
        "delta.columnMapping.mode": "none",
        "delta.dataSkippingStatsColumns": ",".join(STATISTICS[name]),
        # A commit a second: the default of 10 would rewrite the whole list of files every ten seconds.
        "delta.checkpointInterval": "50",
    }
