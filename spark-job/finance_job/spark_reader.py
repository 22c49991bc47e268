"""The default reader: Spark's Kafka source reads, and its Python workers decode and write the data files.

A timestamp that does not fit into microseconds (set by a client, on a topic that allows it) makes Spark's source fail, whatever
columns are selected. The workers read such a batch directly.

The records cross from the JVM to Python once, as Arrow, and never back: the workers return only a description of each file.
Spark counts the rows that its source reads, so its user interface and progress reports show true figures.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from finance_job.batch_offsets import batch_ranges
from finance_job.records import in_steps, task_count
from finance_job.source import as_records, kafka_options, offsets_option
from finance_job.spark_failure import TimestampOverflowError, raise_typed
from finance_storage.data_file import WrittenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame, SparkSession

    from finance_job.config import Settings
    from finance_job.direct_reader import DirectReader
    from finance_job.records import Ranges
    from finance_job.worker_task import WorkerTask

FILE_COLUMN = pa.schema({"file": pa.binary()})


class SparkReader:
    """A reader that uses Spark's Kafka source."""

    def __init__(self, spark: SparkSession, settings: Settings, directly: DirectReader, base: int = 0) -> None:
        """Read with Spark, or with `directly` if its source cannot read a batch; `base` is the number of partition 0."""
        self._spark = spark
        self._base = base
        self._directly = directly
        self._settings = settings

    def ranges(self) -> Ranges:
        """Return the offsets of the running micro-batch. Raises UnknownOffsetsError."""
        return batch_ranges(self._spark, self._base)

    def read(self, ranges: Ranges, batch: DataFrame | None, task: WorkerTask) -> list[WrittenFile]:
        """Run the task over a batch's records, in one Spark job. Raises OffsetOutOfRangeError."""
        tasks = task_count(ranges, self._spark.sparkContext.defaultParallelism)
        if not tasks:
            return []
        records = self._outside(ranges) if batch is None else batch
        self._spark.sparkContext.setLocalProperty("callSite.short", "read, decode, write data files")
        try:
            with raise_typed():
                rows = records.coalesce(tasks).mapInArrow(_describe_files(task), "file binary").collect()
        except TimestampOverflowError:
            return self._directly.read(ranges, batch, task)
        return [msgspec.msgpack.decode(row.file, type=WrittenFile) for row in rows]

    def _outside(self, ranges: Ranges) -> DataFrame:
        """Read ranges as a batch job, outside of the stream."""
        spans = {partition: span for partition, span in ranges.items() if span.count}
        topic = self._settings.kafka_topic
        options = {
            **kafka_options(self._settings),
            # Spark wants offsets for every partition that it reads; `assign` limits it to these.
            "assign": json.dumps({topic: sorted(partition - self._base for partition in spans)}),
            "startingOffsets": offsets_option(topic, {partition: span.start for partition, span in spans.items()}, self._base),
            "endingOffsets": offsets_option(topic, {partition: span.end for partition, span in spans.items()}, self._base),
        }
        return as_records(self._spark.read.format("kafka").options(**options).load(), self._base)


def _describe_files(task: WorkerTask) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for file in task.files(in_steps(batches)):
            yield pa.RecordBatch.from_arrays([pa.array([msgspec.msgpack.encode(file)], pa.binary())], schema=FILE_COLUMN)

    return write
