"""The source: the topic as an unbounded table of Kafka records, of which Spark plans the offsets of each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from finance_job.config import Settings


def source_options(settings: Settings) -> dict[str, str]:
    """Return the Kafka options, none of them left to a default that loses data."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap,
        "subscribe": settings.kafka_topic,
        # Only a new checkpoint looks at this; the default, `latest`, would skip all that is in the topic already.
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "maxOffsetsPerTrigger": str(settings.max_offsets_per_trigger),
        # A broker that is away is found out in seconds; the job then waits and tries again itself.
        "kafka.default.api.timeout.ms": "15000",
        "kafka.request.timeout.ms": "10000",
    }


def read_topic(spark: SparkSession, settings: Settings) -> DataFrame:
    """Stream the topic: key, value, partition, offset, timestamp."""
    stream = spark.readStream.format("kafka").options(**source_options(settings)).load()
    return stream.select("key", "value", "partition", "offset", "timestamp")
