"""A reader gives a micro-batch its records: a range of Kafka offsets in, accounts of the data files that hold them out.

There are two, with one signature, and a test that holds their tables equal. `spark_reader` is the default: Spark's own Kafka
source reads. `direct_reader` leaves planning and scheduling to Spark and reads with librdkafka in the Python workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from finance_job.direct_reader import DirectReader
from finance_job.records import Ranges, kafka_reader
from finance_job.spark_reader import SparkReader

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from finance_job.config import Settings
    from finance_job.write import Task
    from finance_storage.data_file import WrittenFile

__all__ = ["Ranges", "Reader", "reader_of"]


class Reader(Protocol):
    """Reads the records of a batch and has the Python workers write them to data files."""

    def ranges(self) -> Ranges:
        """Give the offsets of the micro-batch that runs, by Kafka partition, also where there is nothing new.

        Call it inside `foreachBatch`, on its thread. Raises UnknownOffsetsError if Spark does not tell.
        """

    def read(self, ranges: Ranges, batch: DataFrame | None, task: Task) -> list[WrittenFile]:
        """Run `task` over the records of `ranges`; return the data files that it wrote. They belong to no table yet.

        `batch` is the micro-batch with these ranges; None reads them outside of the stream. A batch is evaluated once.
        Raises OffsetOutOfRangeError if Kafka no longer has a record, and what Spark raises for a failed job.
        """


def reader_of(spark: SparkSession, settings: Settings) -> Reader:
    """Make the reader that the settings name."""
    directly = DirectReader(spark, kafka_reader(settings.kafka_bootstrap, settings.kafka_topic))
    return directly if settings.reader == "direct" else SparkReader(spark, settings, directly)
