"""The derived tables of the lake. To add one, write its module and name it here."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finance_job.derived.bars_1m import BARS_1M
from finance_job.derived.coverage_1m import COVERAGE_1M
from finance_job.derived.following import Following
from finance_job.derived.revision import TickTable
from finance_job.derived.upkeep import SMALL_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import SparkSession
    from structlog.typing import FilteringBoundLogger

    from finance_storage.paths import LakePaths

DERIVED_TABLES = (BARS_1M, COVERAGE_1M)


@contextmanager
def followed(
    spark: SparkSession, paths: LakePaths, lake: str, trigger_seconds: float, log: FilteringBoundLogger
) -> Iterator[None]:
    """Keep all derived tables up to date meanwhile; none of them if `trigger_seconds` is 0.

    At the end all Spark jobs are cancelled, so ingestion must have ended before.
    """
    if not trigger_seconds:
        yield
        return
    ticks = tick_table(spark, paths, lake)
    turn = threading.Lock()  # one table at a time computes, so a core is left to ingestion
    running = [Following(ticks, table, trigger_seconds, turn, log) for table in DERIVED_TABLES]
    for one in running:
        one.start()
    try:
        yield
    finally:
        for one in running:
            one.stop()
        spark.sparkContext.cancelAllJobs()
        for one in running:
            one.close()


def tick_table(spark: SparkSession, paths: LakePaths, lake: str) -> TickTable:
    """Return the tick table of a lake with sessions of their own beside that of ingestion."""
    return TickTable(small_session(spark), large_session(spark), paths, lake)


def small_session(spark: SparkSession) -> SparkSession:
    """Return a session for a query of few ticks; its queries are not those that ingestion's listener hears."""
    return _session(
        spark,
        {
            # Each batch has new literals, so generated code would be compiled again each time, for more than it saves.
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            # One task at a time reads, so a core is left to ingestion.
            "spark.sql.files.maxPartitionBytes": "1g",
            # OPTIMIZE leaves larger files as they are.
            "spark.databricks.delta.optimize.minFileSize": str(SMALL_BYTES),
            "spark.databricks.delta.optimize.maxFileSize": str(8 * SMALL_BYTES),
        },
    )


def large_session(spark: SparkSession) -> SparkSession:
    """Return a session for a query of many ticks, which may be more than fit into memory together."""
    return _session(spark, {"spark.sql.shuffle.partitions": "16"})


def _session(spark: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    session = spark.newSession()
    # The default is INT96, which other readers take for times without a zone.
    for key, value in {"spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS", **settings}.items():
        session.conf.set(key, value)
    return session
