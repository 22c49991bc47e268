"""The `Lake` class: the Python API for reading a lake."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from finance_lake.query import coverage, history
from finance_lake.query.bar_queries import BarQueries
from finance_lake.query.reader import require_count
from finance_lake.query.relations import source
from finance_lake.query.result import Result
from finance_lake.query.selection import quoted, selection
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.sql import Limits
from finance_role.settings import PlaceSettings, complaints
from finance_storage.bucket import SCHEME
from finance_storage.errors import QueryError, RequestError
from finance_storage.paths import QUARANTINE, LakePaths

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from finance_lake.query.sql import Cancel
    from finance_lake.query.times import AsOf, Time


def paths_of(data: str | PathLike[str] | None) -> LakePaths:
    """Return the paths of a lake: in a folder, or at `s3://bucket/prefix`; by default at LAKE_URI, or in DATA_DIR or data."""
    if data is None:
        return LakePaths.of(_settings())
    if isinstance(data, str) and data.startswith(SCHEME):
        return LakePaths.of(_settings(lake_uri=data))
    return LakePaths(Path(data))


def _settings(**given: str) -> PlaceSettings:
    try:
        return PlaceSettings(**given)  # type: ignore[arg-type] # pydantic converts
    except ValidationError as error:
        raise RequestError(" ".join(complaints(error))) from None


class Lake(BarQueries):
    """A lake, opened for reading; the job may write meanwhile.

    Each call reads the newest version of the tables, or the version that `as_of` names: a version of the table of ticks (an
    int), or a time (a datetime, or ISO text such as `2026-11-24T10:31`, UTC if it has no zone). A time selects the newest
    version committed by then. `start` (inclusive) and `end` (exclusive) are times in the same format.

    Prices are exact decimals (`decimal128(18, 8)`), times are UTC with microseconds. Every call can raise NoLakeError,
    RequestError (a bad symbol, time, version or size) and UnreadableError, all of them LakeError. Threads may share one Lake.

    Ticks: `ticks`, `batches`, `since`, `latest`, `asof`, `markout`. Bars: `bars`, `returns`, `resample`; `sessions` of an
    exchange. The rest is here.
    """

    def sql(
        self,
        query: str,
        as_of: AsOf | None = None,
        *,
        limits: Limits | None = None,
        cut: bool = False,
        cancel: Cancel | None = None,
    ) -> Result:
        """Run one SELECT in DuckDB's SQL over the views `ticks`, `bars_1m`, `latest` and `quarantine`.

        The query runs in a separate process that can read the lake's data files and nothing else, and write nothing. It is
        stopped when it exceeds `limits` (by default 30 s, 1 GB, a million rows). With more rows than allowed, QueryError is
        raised; with `cut=True` the first rows are returned and `Result.cut` is set. For invalid SQL, QueryError has DuckDB's
        message. Another thread can stop the query by calling `cancel`.
        """
        allowed, snapshot = limits or Limits(), open_snapshot(self.paths, as_of)
        rows, was_cut = self._sandboxes.ask(snapshot, query, allowed, cancel)
        if was_cut and not cut:
            raise QueryError(f"The result has more than {allowed.rows:,} rows: add LIMIT, or aggregate.")
        return Result(rows, snapshot.version, cut=was_cut)

    def quarantine(self, *reasons: str, limit: int | None = None, as_of: AsOf | None = None) -> Result:
        """Return quarantined records, of these reasons or of all, newest first, at most `limit`.

        Columns: kafka_partition, kafka_offset, kafka_timestamp, key, value (bytes as received, cut at 64 KiB), value_length,
        value_sha256, reason, detail, ingested_at. Keys and values are untrusted bytes: escape them before you display them.
        """
        snapshot = open_snapshot(self.paths, as_of)
        where = f"reason IN ({', '.join(map(quoted, reasons))})" if reasons else "true"
        require_count(limit)
        rows = source(QUARANTINE, [file.path for file in snapshot.quarantine], snapshot.later_quarantine)
        most = "" if limit is None else f" LIMIT {int(limit)}"
        order = "coalesce(kafka_timestamp, ingested_at) DESC, kafka_partition, kafka_offset DESC"
        return Result(self.engine.table(f"SELECT * FROM {rows} WHERE {where} ORDER BY {order}{most}"), snapshot.version)

    def history(self, limit: int | None = None, as_of: AsOf | None = None) -> Result:
        """Return the versions of the table of ticks, newest first, as far back as its log reaches, at most `limit`.

        Columns: version, ts (commit time), operation, sequence (number of the job's commit; null for other writers), rows
        (added), total (rows of the table at that version), files_added, files_removed.
        """
        version = open_snapshot(self.paths, as_of).version
        require_count(limit)
        return Result(history.history(self.paths.ticks, version, limit), version)

    def coverage(
        self,
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Return the tick density of each symbol per minute: symbol, ts, ticks, silence, missing; by symbol, then minute.

        `ts` is when the minute begins. `silence` is the longest duration between two consecutive ticks of the symbol, of which
        the later one is in that minute; null for the symbol's first tick. `missing` counts sequence numbers missing before the
        source's ticks of that symbol and minute: a producer numbers all its ticks without gaps. A minute without ticks has no
        row; its silence is counted in the next minute that has ticks.
        """
        wanted, snapshot = selection(symbols, start, end), open_snapshot(self.paths, as_of)
        rows = self.engine.table(coverage.coverage_sql(snapshot, wanted))
        return Result(coverage.with_durations(rows), snapshot.version)
