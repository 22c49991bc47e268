"""The derived tables of the lake. To add one, write its module and name it here."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from finance_job.derived.bars_1m import BARS_1M
from finance_job.derived.coverage_1m import COVERAGE_1M
from finance_job.derived.following import Following
from finance_job.derived.sessions import tick_table

if TYPE_CHECKING:
    from collections.abc import Iterator

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
