"""`finance_bars_1m`: open, high, low, close, volume and VWAP of a symbol in a minute. Exact: no float, and no overflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import functions as f
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import DecimalType, StructField, StructType

from finance_job.derived.table import KEY, DerivedTable
from finance_storage import schemas

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

PRICE = from_arrow_type(schemas.PRICE)
VOLUME = DecimalType(29, 0)
NOTIONAL = DecimalType(38, 0)  # in units of 1e-8, summed over sizes of up to 10^12
# Beyond it price * size could leave 38 digits, and such a bar has no VWAP; `finance_lake.query.bars` has the same bound.
MAX_SIZE = 10**12


def bars(ticks: DataFrame) -> DataFrame:
    """Aggregate ticks to bars. A tick without a size has volume 0; a bar without volume has no VWAP."""
    # The order of ticks: by event time, then by their place in the topic. The smallest struct brings its price along.
    order = f.struct("ts_event", f.coalesce("ts_event_nanos", f.lit(0)).alias("nanos"), "kafka_partition", "kafka_offset")
    units = (f.col("price") * f.lit(10**8)).cast("decimal(18,0)")
    weighed = f.when(f.col("size") <= MAX_SIZE, (units * f.col("size").cast("decimal(19,0)")).cast(NOTIONAL))
    sums = ticks.groupBy(*KEY).agg(
        f.min_by("price", order).alias("open"),
        f.max("price").alias("high"),
        f.min("price").alias("low"),
        f.max_by("price", order).alias("close"),
        f.coalesce(f.sum(f.col("size").cast("decimal(19,0)")), f.lit(0)).cast(VOLUME).alias("volume"),
        f.coalesce(f.max("size"), f.lit(0)).alias("largest"),
        f.coalesce(f.sum(weighed), f.lit(0)).cast(NOTIONAL).alias("notional"),
    )
    return sums.withColumn("vwap", _vwap()).drop("largest", "notional")


def _vwap() -> Column:
    """Notional / volume, rounded half up to 8 decimals, by integer division."""
    exact = f.expr("cast((2 * notional + volume) div (2 * volume) as decimal(18,0)) * cast(0.00000001 as decimal(9,8))")
    return f.when((f.col("volume") > 0) & (f.col("largest") <= MAX_SIZE), exact.cast(PRICE))


BARS_1M = DerivedTable(
    name="bars_1m",
    bucket_seconds=60,
    columns=StructType(
        [
            *(StructField(name, PRICE) for name in ("open", "high", "low", "close")),
            StructField("volume", VOLUME),
            StructField("vwap", PRICE),
        ]
    ),
    compute=bars,
)
