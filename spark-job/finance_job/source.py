"""The source: the topic as a streaming DataFrame of Kafka records. Spark plans the offsets of each batch.

Positions and records have the lake's partitions; Spark's options have the topic's own, which are `base` lower.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pyspark.sql import functions as f

from finance_contract import MAX_VALUE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame, SparkSession

    from finance_job.config import Settings
    from finance_kafka.offsets import Offsets

LOG_APPEND_TIME = 1  # in the column timestampType


def kafka_options(settings: Settings) -> dict[str, str]:
    """Return the options of Spark's Kafka source for streams and batch jobs; the user's options override them."""
    return {
        "kafka.bootstrap.servers": settings.kafka_bootstrap,
        "failOnDataLoss": "true",
        # Spark splits a partition's offsets into ranges of at most this size, so that cores have about equal work; a small
        # batch is not split.
        "maxRecordsPerPartition": str(settings.max_offsets_per_trigger // 20 or 1),
        # Detect an unreachable broker within seconds; the job then waits and retries by itself.
        "kafka.default.api.timeout.ms": "15000",
        "kafka.request.timeout.ms": str(_request_timeout_ms(settings.kafka_bootstrap)),
        "kafkaConsumer.pollTimeoutMs": "30000",
        # All requested records exist already; a fetch that waits for new ones would delay the next fetch.
        "kafka.fetch.max.wait.ms": "10",
        # Fewer and larger responses cost less; the second option bounds a fetch in bytes.
        "kafka.max.poll.records": "20000",
        "kafka.max.partition.fetch.bytes": str(8 * 1024 * 1024),
        **settings.kafka_options,
    }


def _request_timeout_ms(bootstrap: str) -> int:
    """Return when a broker counts as silent. If there are others, a frozen one must not hold up a batch at each connection.

    A new client asks any of the addresses first, and a batch has a client for its offsets and one for each partition.
    """
    return 3000 if "," in bootstrap else 10000


def offsets_option(topic: str, offsets: Mapping[int, int], base: int) -> str:
    """Return offsets of the lake's partitions as an option of Spark's Kafka source."""
    return json.dumps({topic: {str(partition - base): offset for partition, offset in offsets.items()}})


def source_options(settings: Settings, position: Offsets, base: int = 0) -> dict[str, str]:
    """Return the options of a stream that begins at `position`."""
    return {
        **kafka_options(settings),
        "subscribe": settings.kafka_topic,
        # Each start has a new checkpoint, so this takes effect. Partitions added later are read from their beginning.
        "startingOffsets": offsets_option(settings.kafka_topic, position, base),
        "maxOffsetsPerTrigger": str(settings.max_offsets_per_trigger),
    }


def read_topic(spark: SparkSession, settings: Settings, position: Offsets, base: int = 0) -> DataFrame:
    """Stream the topic as records (`finance_job.records.RECORD_FIELDS`), each partition from its offset in `position`."""
    return as_records(spark.readStream.format("kafka").options(**source_options(settings, position, base)).load(), base)


def as_records(rows: DataFrame, base: int = 0) -> DataFrame:
    """Select `finance_job.records.RECORD_FIELDS` from Kafka's rows, and cut long keys and values in the JVM."""
    length = f.octet_length("value")
    is_long = length > MAX_VALUE_BYTES
    return rows.select(
        _first_bytes("key"),
        _first_bytes("value"),
        f.when(is_long, length.cast("bigint")).alias("value_length"),
        f.when(is_long, f.sha2("value", 256)).alias("value_sha256"),
        (f.col("partition") + base).alias("partition"),
        "offset",
        "timestamp",
        (f.col("timestampType") != LOG_APPEND_TIME).alias("from_client"),
    )


def _first_bytes(column: str) -> Column:
    is_long = f.octet_length(column) > MAX_VALUE_BYTES
    return f.when(is_long, f.substring(column, 1, MAX_VALUE_BYTES)).otherwise(f.col(column)).alias(column)
