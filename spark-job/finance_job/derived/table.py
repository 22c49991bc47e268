"""What a derived table is: a name, a bucket of event time, columns, and a pure function from ticks to rows.

The key of a row is its symbol and `ts`, the start of its bucket. The function gets all ticks of some buckets, with `ts` as one
more column, and returns one row for each key. `derived.revision` appends these rows as a new revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as f
from pyspark.sql.types import DecimalType, LongType, StringType, StructField, StructType, TimestampType

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import Column, DataFrame

KEY = ("symbol", "ts")
# Sums of the ticks' coordinates: which ticks a row was made of, in a form that every engine can compute.
CHECKSUM = DecimalType(38, 0)


@dataclass(frozen=True)
class DerivedTable:
    """A derived table.

    Attributes:
        name: `bars_1m` is stored in `finance_bars_1m`
        bucket_seconds: length of a bucket of `ts_event`; buckets begin at multiples of it since 1970
        columns: what `compute` returns besides the key
        compute: ticks with `ts`, of whole buckets -> one row a key; pure

    """

    name: str
    bucket_seconds: int
    columns: StructType
    compute: Callable[[DataFrame], DataFrame]

    @property
    def schema(self) -> StructType:
        """Columns as they are stored.

        `as_of` is the version of the tick table that a revision was computed from, and `known_at` when that version was
        committed. Of a key, the row with the largest `as_of` counts. A `tick_count` of 0 withdraws the key: the lake no longer
        has ticks of it.
        """
        return StructType(
            [
                StructField("symbol", StringType()),
                StructField("ts", TimestampType()),
                *self.columns.fields,
                StructField("tick_count", LongType()),
                StructField("checksum", CHECKSUM),
                StructField("as_of", LongType()),
                StructField("known_at", TimestampType()),
            ]
        )

    def bucket(self) -> Column:
        """Start of the bucket of a tick."""
        micros = f.unix_micros("ts_event")
        return f.timestamp_micros(micros - f.pmod(micros, f.lit(self.bucket_seconds * 1_000_000)))


def coordinates() -> list[Column]:
    """Aggregates that say which ticks a row was made of: how many, and the sum of (partition + 1) * (offset + 1)."""
    place = (f.col("kafka_partition") + f.lit(1)).cast("decimal(10,0)") * (f.col("kafka_offset") + f.lit(1)).cast(
        "decimal(19,0)"
    )
    return [f.count(f.lit(1)).alias("tick_count"), f.sum(place).cast(CHECKSUM).alias("checksum")]
