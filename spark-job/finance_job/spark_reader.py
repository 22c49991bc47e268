"""The reader that goes through Spark: its Kafka source reads, its Python workers decode and write the data files.

A timestamp that microseconds cannot count to (a client's, on a topic that lets clients set it) fails Spark's source, whatever
columns are asked for. Such a batch is read by the workers.

The records cross from the JVM to Python once, as Arrow, and never back: what returns is an account of each file. Spark counts
the rows that its source reads, so its user interface and progress show true figures.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from finance_job.batch_offsets import batch_ranges
from finance_job.records import in_steps, task_count
from finance_job.source import as_records, kafka_options
from finance_job.spark_failure import TimestampOverflowError, raise_typed
from finance_storage.data_file import WrittenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame, SparkSession

    from finance_job.config import Settings
    from finance_job.direct_reader import DirectReader
    from finance_job.records import Ranges
    from finance_job.write import Task

ACCOUNT = pa.schema({"file": pa.binary()})


class SparkReader:
    """Reads with Spark's Kafka source."""

    def __init__(self, spark: SparkSession, settings: Settings, directly: DirectReader) -> None:
        """Read batches that Spark's source cannot read `directly`."""
        self._spark = spark
        self._directly = directly
        self._settings = settings

    def ranges(self) -> Ranges:
        """Give the offsets of the micro-batch that runs. Raises UnknownOffsetsError."""
        return batch_ranges(self._spark)

    def read(self, ranges: Ranges, batch: DataFrame | None, task: Task) -> list[WrittenFile]:
        """Run the task over a batch's records, in one job of Spark. Raises OffsetOutOfRangeError."""
        tasks = task_count(ranges, self._spark.sparkContext.defaultParallelism)
        if not tasks:
            return []
        records = self._outside(ranges) if batch is None else batch
        self._spark.sparkContext.setLocalProperty("callSite.short", "read, decode, write data files")
        try:
            with raise_typed():
                rows = records.coalesce(tasks).mapInArrow(_accounts(task), "file binary").collect()
        except TimestampOverflowError:
            return self._directly.read(ranges, batch, task)
        return [msgspec.msgpack.decode(row.file, type=WrittenFile) for row in rows]

    def _outside(self, ranges: Ranges) -> DataFrame:
        """Read ranges as a batch job, beside the stream."""
        wanted = {partition: span for partition, span in ranges.items() if span.count}
        topic = self._settings.kafka_topic
        options = {
            **kafka_options(self._settings),
            # With `assign` no other partition is asked for, so that all of them have offsets here, as Spark wants it.
            "assign": json.dumps({topic: sorted(wanted)}),
            "startingOffsets": json.dumps({topic: {str(number): span.start for number, span in wanted.items()}}),
            "endingOffsets": json.dumps({topic: {str(number): span.end for number, span in wanted.items()}}),
        }
        return as_records(self._spark.read.format("kafka").options(**options).load())


def _accounts(task: Task) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for file in task.files(in_steps(batches)):
            yield pa.RecordBatch.from_arrays([pa.array([msgspec.msgpack.encode(file)], pa.binary())], schema=ACCOUNT)

    return write
