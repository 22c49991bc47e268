"""Revisions: the rows of a derived table are computed again from the ticks, as of one version of the tick table, and appended.

Why a revision is written once, whatever is killed. A revision is a function of the keys and of the tick table's version. It is
committed with that version as the table's Delta transaction. So the newest transaction is the position of the table, in the
same commit as its rows. A revision that is not newer than the position is not committed, so a batch that is processed again
changes nothing. Of two drivers that commit at the same instant, the log refuses one, in a folder and in a bucket: delta-rs
creates the entry only if its version does not exist.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from pyspark.sql import functions as f
from pyspark.sql.pandas.types import to_arrow_schema

from finance_job.derived.revision_files import STATISTICS, write_files
from finance_job.derived.table import KEY, coordinates
from finance_job.failpoint import hit
from finance_job.transaction import actions, append
from finance_storage import delta_log, place
from finance_storage.delta_table import TIME_STEP, add_actions, open_table
from finance_storage.derived_tables import PROPERTY, position, transaction_id
from finance_storage.errors import UnreadableError

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from finance_job.derived.sessions import TickTable
    from finance_job.derived.table import DerivedTable
    from finance_storage.data_file import WrittenFile

MAX_INTERVALS = 64  # of event time in one query; beyond it, neighbours are joined
EVENT_BOUNDS = ("min.ts_event", "max.ts_event")
STEP = TIME_STEP // timedelta(microseconds=1)


class Interval(NamedTuple):
    """Event times `[start, end)` in microseconds since 1970."""

    start: int
    end: int


class Revisions:
    """The revisions of one derived table. Spark reads ticks, computes and writes; delta-rs commits."""

    def __init__(self, ticks: TickTable, table: DerivedTable) -> None:
        """Open the table, or create it. Raises IrregularError where a link is in its place."""
        self._sessions = ticks
        self._ticks = ticks.paths.ticks
        self._table = table
        self._folder = ticks.paths.derived(table.name)
        self._transaction = transaction_id(ticks.lake, table.name)
        place.require_unlinked(ticks.paths.root, self._folder)
        stored = open_table(self._folder)
        if stored and stored.metadata().configuration.get(PROPERTY) != ticks.lake:
            # Rows of another lake would count as newer than this one's: its tick table has versions of its own.
            place.move_folder(ticks.paths.root, self._folder, ticks.paths.aside / f"{self._folder.name}-{uuid.uuid4()}")
            stored = None
        if stored is None:
            self._create(ticks.lake)

    @property
    def position(self) -> int | None:
        """Version of the tick table that the newest revision was computed from; None before the first."""
        table = open_table(self._folder)
        return position(table, self._table.name) if table else None

    def restate(self, keys: pa.Table, as_of: int) -> None:
        """Append a revision of these keys (columns `symbol` and `ts`)."""
        times = intervals(keys, self._table.bucket_seconds)
        spark = self._sessions.session(rows_within(open_table(self._ticks, as_of), times))
        wanted = spark.createDataFrame(keys)
        ticks = self._ticks_at(as_of, spark).where(_within(times))
        rows = self._rows(ticks.join(wanted.hint("broadcast"), list(KEY), "left_semi"))
        self._append(wanted.join(rows, list(KEY), "left").coalesce(1), as_of)

    def restate_all(self, as_of: int) -> None:
        """Append a revision of every key that the ticks have, and of those that only this table has."""
        rows = self._rows(self._ticks_at(as_of, self._sessions.many))
        known = self._sessions.many.read.format("delta").load(place.spark_uri(self._folder)).select(*KEY).distinct()
        self._append(known.join(rows, list(KEY), "full").repartition(1), as_of)

    def _ticks_at(self, version: int, spark: SparkSession) -> DataFrame:
        ticks = spark.read.format("delta").option("versionAsOf", version).load(place.spark_uri(self._ticks))
        return ticks.withColumn("ts", self._table.bucket())

    def _rows(self, ticks: DataFrame) -> DataFrame:
        counts = ticks.groupBy(*KEY).agg(*coordinates())
        return self._table.compute(ticks).join(counts, list(KEY))

    def _append(self, rows: DataFrame, as_of: int) -> None:
        revision = (
            rows.withColumn("tick_count", f.coalesce("tick_count", f.lit(0)))
            .withColumn("as_of", f.lit(as_of).cast("bigint"))
            .withColumn("known_at", f.lit(self._committed(as_of)))
            .select(*self._table.schema.names)
        )
        files = write_files(revision, self._table.name, self._folder)
        hit(f"before-{self._table.name}-commit")
        self.commit(files, as_of)
        hit(f"after-{self._table.name}-commit")

    def commit(self, files: list[WrittenFile], as_of: int) -> None:
        """Append files as a revision, unless there is one as new. Raises CommitFailedError if another driver was faster."""
        table = open_table(self._folder)
        if table is None:
            raise UnreadableError(f"There is no table at {self._folder} any more.")
        done = position(table, self._table.name)
        if done is not None and done >= as_of:  # by another driver
            return
        properties = CommitProperties(
            custom_metadata={"userMetadata": msgspec.json.encode({"as_of": as_of}).decode(), "isBlindAppend": True},
            app_transactions=[Transaction(self._transaction, as_of)],
            max_commit_retries=0,
        )
        append(table, [], actions(files, []), properties)

    def _committed(self, version: int) -> datetime:
        entry = delta_log.entry(self._ticks, version)
        if entry is None:
            raise UnreadableError(f"The log of {self._ticks} has no version {version} any more.")
        return entry.committed

    def _create(self, lake: str) -> None:
        DeltaTable.create(
            place.uri(self._folder),
            Schema.from_arrow(_arrow_schema(self._table)),
            configuration={
                PROPERTY: lake,
                "delta.enableDeletionVectors": "false",
                "delta.columnMapping.mode": "none",
                "delta.dataSkippingStatsColumns": ",".join(STATISTICS),
                "delta.logRetentionDuration": "interval 7 days",
            },
            raise_if_key_not_exists=False,
            storage_options=place.delta_options(self._folder),
        )


def _arrow_schema(table: DerivedTable) -> pa.Schema:
    schema = to_arrow_schema(table.schema, timezone="UTC")
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def intervals(keys: pa.Table, bucket_seconds: int) -> list[Interval]:
    """Return the event times that the buckets of some keys cover, in order.

    If there are more than `MAX_INTERVALS`, neighbours are joined across the shortest gaps.
    """
    length = bucket_seconds * 1_000_000
    starts = sorted(set(keys.column("ts").cast(pa.int64()).to_pylist()))
    gaps = sorted((after - before for before, after in pairwise(starts)), reverse=True)
    shortest = max(gaps[MAX_INTERVALS - 1] if len(gaps) >= MAX_INTERVALS else 0, length)
    joined: list[Interval] = []
    for start in starts:
        if joined and start - (joined[-1].end - length) <= shortest:
            joined[-1] = Interval(joined[-1].start, start + length)
        else:
            joined.append(Interval(start, start + length))
    return joined


def rows_within(table: DeltaTable | None, times: list[Interval]) -> int:
    """Return how many rows are in the files that, by their statistics, may have event times within any of some intervals."""
    files = add_actions(table) if table else pa.table({})
    return sum(
        rows or 0
        for rows, first, last in zip(*(_numbers(files, name) for name in ("num_records", *EVENT_BOUNDS)), strict=True)
        if first is None or last is None or any(time.start <= last + STEP and first < time.end for time in times)
    )


def _numbers(files: pa.Table, name: str) -> list[int | None]:
    known = name in files.column_names
    return files.column(name).cast(pa.int64()).to_pylist() if known else [None] * files.num_rows


def _within(times: list[Interval]) -> str:
    terms = (
        f"(ts_event >= timestamp_micros({interval.start}) AND ts_event < timestamp_micros({interval.end}))"
        for interval in times
    )
    return " OR ".join(terms) or "false"
