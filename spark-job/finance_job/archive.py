"""Write a class-data archive (AppCDS), so that later starts map the job's classes instead of loading and verifying each one.

`python -m finance_job.archive FILE` (the Makefile's `build/spark.jsa`). The JVM uses the archive only with the same Java and
jars that it was made with. With any other it starts without the archive. See docs/adr/0009.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql import functions as f

from finance_job.config import Settings
from finance_job.direct_reader import DirectReader
from finance_job.session import start_session
from finance_job.source import LOG_APPEND_TIME, as_records, read_topic
from finance_job.spark_reader import SparkReader
from finance_job.worker_task import WorkerTask
from finance_kafka.offsets import OffsetRange
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from finance_job.records import Ranges

ABSENT = "127.0.0.1:9"
IMPATIENT = {"kafka.default.api.timeout.ms": "1000", "kafka.request.timeout.ms": "500"}


def train(spark: SparkSession, settings: Settings, paths: LakePaths) -> None:
    """Load the classes of a micro-batch: Spark's Kafka source, as far as it runs without a broker, and both readers' jobs."""
    task = WorkerTask({name: paths.table(name) for name in (TICKS, QUARANTINE)}, 0)
    enough = threading.Event()
    directly = DirectReader(spark, no_records)

    def store(batch: DataFrame, number: int) -> None:
        ranges = {0: OffsetRange(0, 1)}
        SparkReader(spark, settings, directly).read(ranges, batch, task)
        directly.read(ranges, batch, task)
        if number > 1:
            enough.set()

    _ask_absent_broker(spark, settings, directly)
    ticks = spark.readStream.format("rate").option("rowsPerSecond", 100).load()
    query = as_records(_like_kafka(ticks)).writeStream.foreachBatch(store).queryName(settings.kafka_topic)
    running = query.option("checkpointLocation", str(paths.scratch)).trigger(processingTime="1 second").start()
    enough.wait(60)
    running.stop()


def no_records(ranges: Ranges) -> Iterator[pa.RecordBatch]:  # noqa: ARG001
    """Return no records."""
    return iter(())


def _like_kafka(rows: DataFrame) -> DataFrame:
    return rows.select(
        f.lit(b"AAPL").alias("key"),
        f.lit(b'{"symbol":"AAPL","price":174.50}').alias("value"),
        f.lit(0).alias("partition"),
        f.col("value").alias("offset"),
        "timestamp",
        f.lit(LOG_APPEND_TIME).alias("timestampType"),
    )


def _ask_absent_broker(spark: SparkSession, settings: Settings, directly: DirectReader) -> None:
    read_topic(spark, settings, {0: 0})
    with suppress(Exception):
        SparkReader(spark, settings, directly).read({0: OffsetRange(0, 1)}, None, WorkerTask({}, 0))
    jvm = cast("Any", spark.sparkContext._jvm)  # noqa: SLF001 (py4j's bridge is PySpark's own)
    configuration = jvm.java.util.HashMap()
    for name in ("key.deserializer", "value.deserializer"):
        configuration[name] = "org.apache.kafka.common.serialization.ByteArrayDeserializer"
    configuration["bootstrap.servers"] = settings.kafka_bootstrap
    consumer = jvm.org.apache.kafka.clients.consumer.KafkaConsumer(configuration)
    partitions = jvm.java.util.ArrayList()
    partitions.add(jvm.org.apache.kafka.common.TopicPartition(settings.kafka_topic, 0))
    consumer.assign(partitions)
    consumer.seek(partitions[0], 0)
    consumer.poll(jvm.java.time.Duration.ofMillis(500))
    consumer.close()


def main() -> int:
    """Run a training session; the JVM writes the archive when it exits."""
    archive = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), spark_ui_port=0, kafka_bootstrap=ABSENT, kafka_options=IMPATIENT)
        spark = start_session(settings, f"-XX:ArchiveClassesAtExit={archive}")
        train(spark, settings, LakePaths(Path(folder)))
        spark.stop()
        gateway = cast("Any", spark.sparkContext._gateway)  # noqa: SLF001 (py4j's bridge is PySpark's own)
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(120)
    if not archive.exists():
        return 1
    archive.chmod(0o644)  # the image runs as another user than the one who builds the archive
    return 0


if __name__ == "__main__":
    sys.exit(main())
