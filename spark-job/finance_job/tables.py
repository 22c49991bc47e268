"""The two tables: their columns, and how they are made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from delta.tables import DeltaTable
from pyspark.sql.pandas.types import from_arrow_schema

from finance_lake.state.layout import QUARANTINE, TICKS, Layout

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
PRICE = pa.decimal128(18, 8)

# What the data files hold. `date`, the partition column of ticks, stands in the path and the log, as Delta has it.
TICK_FIELDS = pa.schema(
    {
        "symbol": pa.string(),
        "price": PRICE,
        "size": pa.int64(),
        "ts_event": UTC_MICROSECONDS,
        "ts_event_nanos": pa.int16(),
        "seq": pa.int64(),
        "source": pa.string(),
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": UTC_MICROSECONDS,
        "ingested_at": UTC_MICROSECONDS,
    }
)
QUARANTINE_FIELDS = pa.schema(
    {
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": UTC_MICROSECONDS,
        "key": pa.binary(),
        "value": pa.binary(),
        "value_length": pa.int64(),
        "value_sha256": pa.string(),
        "reason": pa.string(),
        "detail": pa.string(),
        "ingested_at": UTC_MICROSECONDS,
    }
)
FIELDS = {TICKS: TICK_FIELDS, QUARANTINE: QUARANTINE_FIELDS}

# Columns with minimum and maximum in the log: what queries filter on, and what orders the files.
STATISTICS = {
    TICKS: ("symbol", "ts_event", "kafka_partition", "kafka_offset", "kafka_timestamp"),
    QUARANTINE: ("kafka_partition", "kafka_offset", "kafka_timestamp", "reason"),
}


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
