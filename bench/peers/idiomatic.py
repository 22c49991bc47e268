"""The idiomatic pipeline: `readStream.format("kafka")`, `from_json`, `writeStream.format("delta")`, tuned for this machine.

It uses only what Spark and Delta ship: no Python in the data path, Delta's own transactions, Spark's checkpoint. Heap, cores,
jars and batch size are those of the job (its settings). It stores malformed records as rows of nulls and verifies nothing.

    python -m bench.peers.idiomatic BOOTSTRAP TOPIC FOLDER ENDS

ENDS, the offsets at which the other peers stop, is ignored: the trigger `availableNow` stops at the topic's end.
"""

from __future__ import annotations

import sys

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, current_timestamp, expr, from_json

from finance_job.config import Settings

TICK = "symbol STRING, price DECIMAL(18,8), size BIGINT, ts_event BIGINT, seq BIGINT, source STRING"
FETCHING = {
    "kafka.max.poll.records": "20000",
    "kafka.max.partition.fetch.bytes": str(8 << 20),
    "kafka.fetch.max.bytes": str(64 << 20),
    "kafka.receive.buffer.bytes": str(1 << 20),
}


def session(settings: Settings) -> SparkSession:
    """Start Spark with Delta, sized for one small machine; the default shuffle and snapshot partitions are for clusters."""
    return (
        SparkSession.builder.master(f"local[{settings.spark_cores}]")
        .config("spark.driver.memory", settings.spark_heap)
        .config("spark.driver.extraJavaOptions", "-XX:+UseParallelGC")
        .config("spark.driver.extraClassPath", f"{settings.spark_jars.resolve()}/*")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "1")
        .config("spark.databricks.delta.snapshotPartitions", "1")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )


def ticks(records: DataFrame) -> DataFrame:
    """Parse the records into the columns of the job's table."""
    parsed = records.select(from_json(col("value").cast("string"), TICK).alias("tick"), "partition", "offset", "timestamp")
    return parsed.select(
        "tick.symbol",
        "tick.price",
        "tick.size",
        expr("timestamp_micros(tick.ts_event div 1000)").alias("ts_event"),
        expr("cast(tick.ts_event % 1000 as smallint)").alias("ts_event_nanos"),
        "tick.seq",
        "tick.source",
        col("partition").alias("kafka_partition"),
        col("offset").alias("kafka_offset"),
        col("timestamp").alias("kafka_timestamp"),
        current_timestamp().alias("ingested_at"),
        col("timestamp").cast("date").alias("date"),
    )


def main() -> None:
    """Drain the records that the topic has at the start, in batches of the job's size."""
    bootstrap, topic, folder, _ = sys.argv[1:]
    settings = Settings()
    records = (
        session(settings)
        .readStream.format("kafka")
        .options(**{"kafka.bootstrap.servers": bootstrap}, **FETCHING)
        .options(subscribe=topic, startingOffsets="earliest", maxOffsetsPerTrigger=settings.max_offsets_per_trigger)
        .load()
    )
    sink = ticks(records).writeStream.format("delta").partitionBy("date").option("checkpointLocation", f"{folder}.checkpoint")
    sink.trigger(availableNow=True).start(folder).awaitTermination()


if __name__ == "__main__":
    main()
