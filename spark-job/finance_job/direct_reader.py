"""The reader that bypasses the JVM: Spark plans and schedules, and the Python workers read their ranges with librdkafka.

The batch's DataFrame is never evaluated, so Spark reports no input rows. The job's `batch` log line does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_job.batch_offsets import batch_ranges
from finance_job.records import split_ranges, task_count
from finance_kafka.range_reader import OffsetOutOfRangeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame, SparkSession

    from finance_job.records import RangeReader, Ranges
    from finance_job.worker_task import WorkerTask
    from finance_storage.data_file import WrittenFile


class DirectReader:
    """A reader that uses librdkafka in the Python workers."""

    def __init__(self, spark: SparkSession, records: RangeReader, base: int = 0) -> None:
        """Read ranges with `records`, which is pickled for the workers; `base` is the number of partition 0."""
        self._spark = spark
        self._records = records
        self._base = base

    def ranges(self) -> Ranges:
        """Return the offsets of the running micro-batch. Raises UnknownOffsetsError."""
        return batch_ranges(self._spark, self._base)

    def read(self, ranges: Ranges, _: DataFrame | None, task: WorkerTask) -> list[WrittenFile]:
        """Run the task over the records of the ranges, in one Spark job. Raises OffsetOutOfRangeError."""
        spark, records = self._spark.sparkContext, self._records
        tasks = task_count(ranges, spark.defaultParallelism)
        if not tasks:
            return []
        shares = split_ranges(ranges, tasks)
        return _files(spark.parallelize(shares, len(shares)).flatMap(lambda share: _outcome(records, share, task)).collect())


def _outcome(records: RangeReader, ranges: Ranges, task: WorkerTask) -> Iterator[WrittenFile | OffsetOutOfRangeError]:
    # An error raised in a worker reaches the driver as text; a returned one keeps its type.
    try:
        yield from task.files(records(ranges))
    except OffsetOutOfRangeError as error:
        yield error


def _files(outcomes: Sequence[WrittenFile | OffsetOutOfRangeError]) -> list[WrittenFile]:
    for outcome in outcomes:
        if isinstance(outcome, OffsetOutOfRangeError):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, OffsetOutOfRangeError)]
