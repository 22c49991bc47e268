"""The streaming query: `readStream` from Kafka into the sink, starting at the position of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_job.failpoint import hit
from finance_job.guard import StartupRefusedError, check_lake
from finance_job.scratch import Scratch
from finance_job.session import require_running
from finance_job.source import read_topic
from finance_job.spark_failure import in_one_line
from finance_job.store_guard import outages_named
from finance_kafka.describe import describe_topic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.streaming.query import StreamingQuery
    from structlog.typing import FilteringBoundLogger

    from finance_job.config import Settings
    from finance_job.sink import Sink
    from finance_job.writer import Writer
    from finance_kafka.offsets import Offsets
    from finance_storage.paths import LakePaths


class Query:
    """Starts the streaming query, and starts it again after a failure."""

    def __init__(self, spark: SparkSession, settings: Settings, paths: LakePaths, writer: Writer) -> None:
        """Remove old scratch files; `start` starts the query."""
        self._spark = spark
        self._settings = settings
        self._paths = paths
        self._writer = writer
        self._scratch = Scratch(paths, writer.epoch)

    def start(self, sink: Sink, log: FilteringBoundLogger) -> StreamingQuery:
        """Check that tables and broker belong together, complete a batch that only the quarantine has, then start.

        Raises BrokerUnavailableError, TopicNotFoundError, StartupRefusedError, FencedError, ConflictError, SessionEndedError,
        StoreUnavailableError.
        """
        topic = self._settings.kafka_topic
        broker = describe_topic(self._settings.kafka_bootstrap, topic)
        with outages_named(self._paths):
            if check_lake(self._paths, topic, broker) is None:
                raise StartupRefusedError(f"the tables at {self._paths.root} were removed while the job ran: start it again")
            if half := sink.finish():
                log.info("a batch that only the quarantine had is complete", rows=half.ticks, version=half.version)
            partitions = [self._writer.identity.base + own for own in broker.end]
            position = {partition: self._writer.start(partition) for partition in partitions}
        require_running(self._spark)
        hit("before-offsets")
        return self._stream(sink, position)

    def close(self) -> None:
        """Remove Spark's scratch files."""
        self._scratch.remove()

    def _stream(self, sink: Sink, position: Offsets) -> StreamingQuery:
        return (
            read_topic(self._spark, self._settings, position, self._writer.identity.base)
            .writeStream.foreachBatch(in_one_line(sink))
            .queryName(self._settings.kafka_topic)
            .option("checkpointLocation", str(self._scratch.fresh()))
            .trigger(processingTime=f"{self._settings.trigger_seconds} seconds")
            .start()
        )
