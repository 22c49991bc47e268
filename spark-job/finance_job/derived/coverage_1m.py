"""`finance_coverage_1m`: how well a minute of a symbol was recorded: delays, gaps and order of its ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import Window
from pyspark.sql import functions as f
from pyspark.sql.types import LongType, StructField, StructType

from finance_job.derived.table import KEY, DerivedTable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COLUMNS = ("min_delay_us", "max_delay_us", "max_gap_us", "out_of_order", "sources", "numbered", "first_seq", "last_seq")


def coverage(ticks: DataFrame) -> DataFrame:
    """Aggregate ticks to their coverage.

    Delays are from event to arrival at the broker, in microseconds; they may be negative. `max_gap_us` is the longest time
    between two consecutive ticks of the minute, null for a single tick. `out_of_order` counts ticks whose event is earlier than
    that of the tick before them in their partition.

    A source numbers its ticks without gaps, across symbols. `numbered` counts the ticks with a number, and `first_seq` and
    `last_seq` are the smallest and the largest one. So what a minute misses of one source is, over all symbols,
    `max(last_seq) - min(first_seq) + 1 - sum(numbered)`.
    """
    event, arrival = f.unix_micros("ts_event"), f.unix_micros("kafka_timestamp")
    by_time = Window.partitionBy(*KEY).orderBy("ts_event")
    by_place = Window.partitionBy(*KEY, "kafka_partition").orderBy("kafka_offset")
    steps = ticks.select(
        *KEY,
        "source",
        "seq",
        (arrival - event).alias("delay"),
        (event - f.lag(event).over(by_time)).alias("gap"),
        (event < f.lag(event).over(by_place)).alias("is_late"),
    )
    return steps.groupBy(*KEY).agg(
        f.min("delay").alias("min_delay_us"),
        f.max("delay").alias("max_delay_us"),
        f.max("gap").alias("max_gap_us"),
        f.count_if("is_late").alias("out_of_order"),
        f.count_distinct("source").alias("sources"),
        f.count("seq").alias("numbered"),
        f.min("seq").alias("first_seq"),
        f.max("seq").alias("last_seq"),
    )


COVERAGE_1M = DerivedTable(
    name="coverage_1m",
    bucket_seconds=60,
    columns=StructType([StructField(name, LongType()) for name in COLUMNS]),
    compute=coverage,
)
