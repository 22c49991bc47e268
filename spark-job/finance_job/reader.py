"""Readers turn the Kafka offsets of a micro-batch into data files and return a description of each file.

There are two with the same interface, and a test that their tables are equal. `spark_reader`, the default, reads with Spark's
Kafka source. `direct_reader` leaves planning and scheduling to Spark and reads with librdkafka in the Python workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from finance_job.direct_reader import DirectReader
from finance_job.records import Ranges, kafka_reader
from finance_job.spark_reader import SparkReader

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from finance_job.config import Settings
    from finance_job.worker_task import WorkerTask
    from finance_storage.data_file import WrittenFile

__all__ = ["Ranges", "Reader", "reader_of"]


class Reader(Protocol):
    """Reads the records of a batch; the Python workers write them to data files."""

    def ranges(self) -> Ranges:
        """Return the offsets of the running micro-batch by the lake's partition, including partitions with nothing new.

        Call it inside `foreachBatch`, on its thread. Raises UnknownOffsetsError if Spark does not expose them.
        """

    def read(self, ranges: Ranges, batch: DataFrame | None, task: WorkerTask) -> list[WrittenFile]:
        """Run `task` over the records of `ranges` and return the data files that it wrote, which are not committed yet.

        `batch` is the micro-batch with these ranges, which is evaluated once; None reads them outside of the stream.
        Raises OffsetOutOfRangeError if Kafka no longer has a record, and what Spark raises for a failed job.
        """


def reader_of(spark: SparkSession, settings: Settings, base: int = 0) -> Reader:
    """Return the reader that the settings name; `base` is the lake's number of the topic's partition 0."""
    directly = DirectReader(spark, kafka_reader(settings.kafka_bootstrap, settings.kafka_topic, base), base)
    return directly if settings.reader == "direct" else SparkReader(spark, settings, directly, base)
