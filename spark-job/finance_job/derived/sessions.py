"""The Spark sessions that compute derived tables: one for few ticks, one for many."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from finance_storage.paths import LakePaths

# Of a query with fewer ticks, generating and compiling code takes longer than it saves: each has new literals.
FEW_TICKS = 200_000
CODE = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
NO_CODE = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


class TickTable(NamedTuple):
    """The tick table of a lake, and the sessions that read it.

    Their queries are not those that ingestion's listener hears.
    """

    few: SparkSession
    many: SparkSession
    paths: LakePaths
    lake: str

    def session(self, rows: int) -> SparkSession:
        """Return the session for a query of so many ticks."""
        return self.few if is_few(rows) else self.many


def is_few(rows: int) -> bool:
    """Whether a query of so many ticks is faster without generated code."""
    return rows <= FEW_TICKS


def tick_table(spark: SparkSession, paths: LakePaths, lake: str) -> TickTable:
    """Return the tick table of a lake with sessions of their own beside that of ingestion."""
    return TickTable(few_session(spark), many_session(spark), paths, lake)


def few_session(spark: SparkSession) -> SparkSession:
    """Return a session for queries of few ticks, and for the streams that follow the ticks."""
    return _session(
        spark,
        {
            **NO_CODE,
            # One task at a time reads, so a core is left to ingestion.
            "spark.sql.files.maxPartitionBytes": "1g",
            # How often a stream that has nothing to do looks for ticks.
            "spark.sql.streaming.pollingDelay": "1s",
        },
    )


def many_session(spark: SparkSession) -> SparkSession:
    """Return a session for a query of many ticks, which may be more than fit into memory together."""
    return _session(spark, {"spark.sql.shuffle.partitions": "16"})


def plan_for(session: SparkSession, rows: int) -> None:
    """Generate code in the session's next query only if that is worth it for so many ticks."""
    _configure(session, NO_CODE if is_few(rows) else CODE)


def _session(spark: SparkSession, settings: Mapping[str, str]) -> SparkSession:
    session = spark.newSession()
    _configure(session, settings)
    return session


def _configure(session: SparkSession, settings: Mapping[str, str]) -> None:
    for key, value in settings.items():
        session.conf.set(key, value)
