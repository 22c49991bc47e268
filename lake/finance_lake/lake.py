"""The `Lake` class: the Python API for reading a lake."""

from __future__ import annotations

import weakref
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

from finance_lake.query import asof, bars, coverage, history, latest
from finance_lake.query.engine import Engine
from finance_lake.query.file_cache import FILE, MAX_BYTES, FileCache
from finance_lake.query.relations import ORDER, source
from finance_lake.query.result import Result
from finance_lake.query.selection import Selection, quoted, selection, step_us, timestamp
from finance_lake.query.snapshot import Snapshot, open_snapshot
from finance_lake.query.sql import Limits, Sandboxes
from finance_role.literal_paths import fault
from finance_role.settings import RoleSettings
from finance_storage import delta_log
from finance_storage.errors import QueryError, RequestError
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from os import PathLike

    import pyarrow as pa

    from finance_lake.query.times import AsOf, Time

IN_ORDER = ", ".join(ORDER)


def default_folder() -> Path:
    """Return the default folder of the lake: DATA_DIR, or data."""
    return RoleSettings().data_dir


class Lake:
    """A lake, opened for reading; the job may write meanwhile.

    Each call reads the newest version of the tables, or the version that `as_of` names: a version of the table of ticks (an
    int), or a time (a datetime, or ISO text such as `2026-11-24T10:31`, UTC if it has no zone). A time selects the newest
    version committed by then. `start` (inclusive) and `end` (exclusive) are times in the same format.

    Prices are exact decimals (`decimal128(18, 8)`), times are UTC with microseconds. Every call can raise NoLakeError,
    RequestError (a bad symbol, time, version or size) and UnreadableError, all of them LakeError. Threads may share one Lake.
    """

    def __init__(self, data: str | PathLike[str], *, cache_bytes: int = MAX_BYTES, engine: Engine | None = None) -> None:
        """Open the lake in a folder.

        Raises NoLakeError if there is none, and RequestError if deltalake would misread the folder's name.

        Args:
            data: the lake's folder
            cache_bytes: size limit of the cache of per-file results
            engine: a DuckDB engine to share with other lakes; a new one by default

        """
        if what := fault(Path(data)):
            raise RequestError(f"The lake's folder {what}.")
        self.paths = LakePaths(Path(data))
        self.engine = engine or Engine()
        self._partials = FileCache(cache_bytes)
        self._sandboxes = Sandboxes()
        self._finalizer = weakref.finalize(self, self._sandboxes.close)
        open_snapshot(self.paths)

    def __enter__(self) -> Self:
        """Return the lake itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the lake."""
        self.close()

    def close(self) -> None:
        """Stop the idle SQL processes. The lake stays usable and starts new ones as needed."""
        self._sandboxes.close()

    @property
    def version(self) -> int:
        """The newest version of the table of ticks."""
        return open_snapshot(self.paths).version

    @property
    def finalized_until(self) -> date | None:
        """The day before which all days are sealed: UTC dates of arrival that get no more ticks. None if no day is sealed."""
        return open_snapshot(self.paths).finalized_until

    def version_at(self, as_of: AsOf | None = None) -> int:
        """Return the version that `as_of` selects; the newest if it is None."""
        return open_snapshot(self.paths, as_of).version

    def count(self, as_of: AsOf | None = None) -> int:
        """Return the number of ticks in the lake. Reads only the log."""
        return open_snapshot(self.paths, as_of).rows

    def symbols(self, as_of: AsOf | None = None, limit: int | None = None) -> list[str]:
        """Return the symbols that the lake has ticks of, sorted, at most `limit`."""
        _require_count(limit)
        known = self._symbols_of_files(open_snapshot(self.paths, as_of)).column("symbol").unique().sort()
        names: list[str] = known.slice(0, limit).to_pylist()
        return names

    def ticks(
        self, *symbols: str | Iterable[str], start: Time | None = None, end: Time | None = None, as_of: AsOf | None = None
    ) -> Result:
        """Return ticks of these symbols, or of all, in order of event time.

        Columns: all of the table's (symbol, price, size, ts_event, ts_event_nanos, seq, source, kafka_partition, kafka_offset,
        kafka_timestamp, ingested_at, date). Ticks of the same time are ordered by partition and offset.
        """
        wanted, snapshot = selection(symbols, start, end), open_snapshot(self.paths, as_of)
        return Result(self.engine.table(f"SELECT * FROM {snapshot.source(wanted)} ORDER BY {IN_ORDER}"), snapshot.version)

    def batches(
        self, *symbols: str | Iterable[str], start: Time | None = None, end: Time | None = None, as_of: AsOf | None = None
    ) -> tuple[int, pa.Schema, Iterator[pa.RecordBatch]]:
        """Return the number of ticks that `ticks` would return, their schema, and an iterator of batches.

        For selections that do not fit into memory.
        """
        wanted, snapshot = selection(symbols, start, end), open_snapshot(self.paths, as_of)
        rows = snapshot.source(wanted)
        count = self.engine.table(f"SELECT count(*) AS ticks FROM {rows}").column("ticks")[0].as_py()
        schema = self.engine.table(f"SELECT * FROM {rows} LIMIT 0").schema
        return count, schema, self.engine.batches(f"SELECT * FROM {rows} ORDER BY {IN_ORDER}")

    def since(self, version: int, *symbols: str | Iterable[str], as_of: AsOf | None = None) -> Result:
        """Return the ticks that the versions after `version` added, up to the newest or to `as_of`, in the order of `ticks`.

        Ticks rewritten by maintenance are not returned again. Raises RequestError if the log no longer reaches back to
        `version`, or if maintenance has replaced and removed data files that those versions added.
        """
        wanted, snapshot = selection(symbols), open_snapshot(self.paths, as_of)
        added = self._added(snapshot, version)
        sql = f"SELECT * FROM {source(TICKS, added, snapshot.later_ticks)} WHERE {wanted.where} ORDER BY {IN_ORDER}"
        return Result(self.engine.table(sql), snapshot.version)

    def bars(
        self,
        size: str = "1m",
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Return bars by symbol, then time: symbol, ts, open, high, low, close, volume, vwap, ticks.

        Args:
            size: a number and s, m, h or d, one day at most: `1s`, `5m`, `1h`, `1d`; bars begin at multiples of it since 1970
            symbols: one, several, or all
            start: only bars that begin at or after this time
            end: only bars that begin before this time; bars are always whole
            as_of: a version or a time

        `ts` is when a bar begins. open, high, low, close and vwap are `decimal128(18, 8)`, volume and ticks int64. A bucket
        without ticks has no bar. A tick without size counts as volume 0. vwap is null for a bar without volume, or with any
        tick larger than 10^12. A volume beyond 64 bits is null.
        """
        wanted, step, snapshot = selection(symbols, start, end), step_us(size), open_snapshot(self.paths, as_of)
        whole_bars = _widened(wanted, step)
        files = snapshot.files_of(whole_bars)
        question = ("bars", step, wanted.symbols)
        where = Selection(wanted.symbols).where

        def compute(missing: Sequence[str]) -> pa.Table:
            rows = f"(SELECT * FROM {source(TICKS, missing, with_file=True)} WHERE {where})"
            return self.engine.table(bars.partial(rows, step, f"{FILE}, "))

        partials = self._partials.of(question, files, compute)
        within = f"SELECT * FROM partials WHERE {_bucket_range(wanted, step)}"
        return Result(self.engine.table(bars.whole(within, step), partials=partials), snapshot.version)

    def latest(self, *symbols: str | Iterable[str], as_of: AsOf | None = None) -> Result:
        """Return the newest tick of each of these symbols, or of all, sorted by symbol; columns as in `ticks`."""
        wanted, snapshot = selection(symbols), open_snapshot(self.paths, as_of)
        rows = latest.search(self.engine, snapshot, self._symbols_of_files(snapshot), wanted.symbols)
        return Result(rows, snapshot.version)

    def asof(  # noqa: PLR0913 (keywords, each with a default)
        self,
        left: str | Result,
        right: str | Result,
        *,
        by: str | None = "symbol",
        tolerance: timedelta | str | None = None,
        suffix: str = "_right",
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Join each row of `left` with the newest row of `right` that is not later, in the order of `left`.

        Returns the columns of `left`, then those of `right`, null if no row matches. Ticks are compared to the nanosecond,
        bars by when they begin.

        Args:
            left: ticks or bars; or a symbol, for its ticks from `start` to `end`
            right: ticks or bars; or a symbol, for its ticks before `end`
            by: the column in which rows must agree; None for any; ignored between two symbols
            tolerance: maximum age of the right row: a timedelta, or text such as a bar size; by default any age
            suffix: added to the names of columns of `right` that `left` has too
            start: start of the ticks of `left`, if it is a symbol
            end: end of the ticks of symbols
            as_of: version or time of the ticks of symbols

        """
        across = by is None or (isinstance(left, str) and isinstance(right, str))
        version = self.version_at(as_of)
        left_rows = self.ticks(left, start=start, end=end, as_of=version) if isinstance(left, str) else left
        right_rows = self.ticks(right, end=end, as_of=version) if isinstance(right, str) else right
        max_age = timedelta(microseconds=step_us(tolerance)) if isinstance(tolerance, str) else tolerance
        sql = asof.join(left_rows.columns, right_rows.columns, None if across else by, max_age, suffix)
        rows = self.engine.table(sql, left_rows=left_rows.arrow, right_rows=right_rows.arrow)
        return Result(rows, max(left_rows.version, right_rows.version))

    def sql(self, query: str, as_of: AsOf | None = None, *, limits: Limits | None = None, cut: bool = False) -> Result:
        """Run one SELECT in DuckDB's SQL over the views `ticks`, `bars_1m`, `latest` and `quarantine`.

        The query runs in a separate process that can read the lake's data files and nothing else, and write nothing. It is
        stopped when it exceeds `limits` (by default 30 s, 1 GB, a million rows). With more rows than allowed, QueryError is
        raised; with `cut=True` the first rows are returned and `Result.cut` is set. For invalid SQL, QueryError has DuckDB's
        message.
        """
        allowed, snapshot = limits or Limits(), open_snapshot(self.paths, as_of)
        rows, was_cut = self._sandboxes.ask(snapshot, query, allowed)
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
        _require_count(limit)
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
        _require_count(limit)
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

    def _symbols_of_files(self, snapshot: Snapshot) -> pa.Table:
        """Return which symbols each data file holds."""
        files = [file.path for file in snapshot.ticks]
        return self._partials.of("symbols", files, lambda missing: self.engine.table(latest.symbols_of_files(missing)))

    def _added(self, snapshot: Snapshot, after: int) -> list[str]:
        """Return the absolute paths of the data files that the versions after `after` added."""
        entries = list(delta_log.entries(self.paths.ticks, snapshot.version, after + 1))
        paths = [path for entry in entries for path in entry.added]
        live = {file.path for file in snapshot.ticks}
        if len(entries) < snapshot.version - after or not all(path in live or Path(path).exists() for path in paths):
            raise RequestError(
                f"The ticks added after version {after} can no longer be listed, since log entries or data files were removed: "
                "read the table instead."
            )
        return paths


def _require_count(limit: int | None) -> None:
    if limit is not None and limit < 0:
        raise RequestError(f"limit={limit} is not a number of rows: it must be 0 or more.")


def _widened(wanted: Selection, step: int) -> Selection:
    """Return the selection of ticks that whole bars need: the last bar may end after `end`."""
    longer = timedelta(microseconds=step)
    try:
        return Selection(wanted.symbols, wanted.start, wanted.end and wanted.end + longer)
    except OverflowError:
        return Selection(wanted.symbols, wanted.start)


def _bucket_range(wanted: Selection, step: int) -> str:
    begins = f"make_timestamptz(stretch * {step})"
    terms = [f"{begins} >= {timestamp(wanted.start)}"] if wanted.start else []
    terms += [f"{begins} < {timestamp(wanted.end)}"] if wanted.end else []
    return " AND ".join(terms) or "true"
