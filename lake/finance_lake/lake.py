"""The lake, for programs."""

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
from finance_lake.query.snapshot import Snapshot, take
from finance_lake.query.sql import Limits, Sandboxes
from finance_role.literal_paths import fault
from finance_role.settings import RoleSettings
from finance_storage import delta_log
from finance_storage.errors import QueryError, RequestError
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from os import PathLike

    import pyarrow as pa

    from finance_lake.query.times import AsOf, Time

IN_ORDER = ", ".join(ORDER)


def default_folder() -> Path:
    """Where the lake is if nobody says: DATA_DIR, or data."""
    return RoleSettings().data_dir


class Lake:
    """A lake that is read, while it is written.

    Each call looks at the tables as they are at that moment, or were: `as_of` takes a version of the table of ticks (an int) or
    a time (a datetime, or ISO text such as `2026-11-24T10:31`, UTC where no zone is given), and then the newest version that
    was committed by then counts. `start` and `end` are times as well: from `start` on, before `end`.

    Prices are exact decimals (`decimal128(18, 8)`), times are UTC with microseconds. Every call can raise NoLakeError,
    RequestError (a bad symbol, time, version or size) and UnreadableError, all of them LakeError. Threads may share one Lake.
    """

    def __init__(self, data: str | PathLike[str], *, cache_bytes: int = MAX_BYTES, engine: Engine | None = None) -> None:
        """Open the lake in a folder. Raises NoLakeError if there is none, RequestError if deltalake takes the name for another.

        `cache_bytes` is how much is remembered of files; several lakes may share an engine.
        """
        if what := fault(Path(data)):
            raise RequestError(f"The lake's folder {what}.")
        self.paths = LakePaths(Path(data))
        self._engine = engine or Engine()
        self._partials = FileCache(cache_bytes)
        self._sandboxes = Sandboxes()
        self._finalizer = weakref.finalize(self, self._sandboxes.close)
        take(self.paths)

    def __enter__(self) -> Self:
        """Use it for a while; `close` ends that."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End the processes that answer SQL; the lake can still be used, and starts them again."""
        self._sandboxes.close()

    @property
    def version(self) -> int:
        """The newest version of the table of ticks."""
        return take(self.paths).version

    def version_at(self, as_of: AsOf | None = None) -> int:
        """Return the version that `as_of` means; the newest where it is None."""
        return take(self.paths, as_of).version

    def count(self, as_of: AsOf | None = None) -> int:
        """Return how many ticks the lake has, from the log alone."""
        return take(self.paths, as_of).rows

    def symbols(self, as_of: AsOf | None = None, limit: int | None = None) -> list[str]:
        """Return the symbols that the lake has ticks of, in order; `limit` is the most of them."""
        _require_count(limit)
        found = self._holding(take(self.paths, as_of)).column("symbol").unique().sort()
        names: list[str] = found.slice(0, limit).to_pylist()
        return names

    def ticks(
        self, *symbols: str | Iterable[str], start: Time | None = None, end: Time | None = None, as_of: AsOf | None = None
    ) -> Result:
        """Return ticks of these symbols, or of all, in the order in which they happened.

        Columns: all of the table's (symbol, price, size, ts_event, ts_event_nanos, seq, source, kafka_partition, kafka_offset,
        kafka_timestamp, ingested_at, date). Ticks of one moment come in the order of their place in the topic.
        """
        wanted, snapshot = selection(symbols, start, end), take(self.paths, as_of)
        return Result(self._engine.table(f"SELECT * FROM {snapshot.source(wanted)} ORDER BY {IN_ORDER}"), snapshot.version)

    def batches(
        self, *symbols: str | Iterable[str], start: Time | None = None, end: Time | None = None, as_of: AsOf | None = None
    ) -> tuple[int, pa.Schema, Iterator[pa.RecordBatch]]:
        """Return how many ticks `ticks` would give, their schema, and its rows batch by batch: for more than memory holds."""
        wanted, snapshot = selection(symbols, start, end), take(self.paths, as_of)
        rows = snapshot.source(wanted)
        count = self._engine.table(f"SELECT count(*) AS ticks FROM {rows}").column("ticks")[0].as_py()
        schema = self._engine.table(f"SELECT * FROM {rows} LIMIT 0").schema
        return count, schema, self._engine.batches(f"SELECT * FROM {rows} ORDER BY {IN_ORDER}")

    def since(self, version: int, *symbols: str | Iterable[str], as_of: AsOf | None = None) -> Result:
        """Return the ticks that the versions after `version` added, up to the newest or to `as_of`, in the order of `ticks`.

        What maintenance rewrites is not added again. Raises RequestError where the log no longer reaches back to `version`, or
        maintenance has put other files in the place of those and removed them.
        """
        wanted, snapshot = selection(symbols), take(self.paths, as_of)
        added = self._added(snapshot, version)
        sql = f"SELECT * FROM {source(TICKS, added, snapshot.later_ticks)} WHERE {wanted.where} ORDER BY {IN_ORDER}"
        return Result(self._engine.table(sql), snapshot.version)

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
            size: `1s`, `5m`, `1h`, `1d`: a number and s, m, h or d, one day at most; bars begin at multiples of it since 1970
            symbols: one, several, or all
            start: bars that begin then or later
            end: bars that begin before it; a bar is always whole
            as_of: a version or a time

        `ts` is when a bar begins. open, high, low, close and vwap are `decimal128(18, 8)`, volume and ticks int64. A stretch
        without a tick has no bar. A tick without size has volume 0; vwap is null for a bar without volume, or with a single
        tick of more than 10^12 pieces; a volume beyond 64 bits is null.
        """
        wanted, step, snapshot = selection(symbols, start, end), step_us(size), take(self.paths, as_of)
        whole_bars = _widened(wanted, step)
        files = snapshot.files_of(whole_bars)
        question = ("bars", step, wanted.symbols)
        where = Selection(wanted.symbols).where

        def compute(missing: Sequence[str]) -> pa.Table:
            rows = f"(SELECT * FROM {source(TICKS, missing, with_file=True)} WHERE {where})"
            return self._engine.table(bars.partial(rows, step, f"{FILE}, "))

        known = self._partials.of(question, files, compute)
        within = f"SELECT * FROM partials WHERE {_stretches(wanted, step)}"
        return Result(self._engine.table(bars.whole(within, step), partials=known), snapshot.version)

    def latest(self, *symbols: str | Iterable[str], as_of: AsOf | None = None) -> Result:
        """Return the newest tick of each of these symbols, or of all, by symbol; columns as in `ticks`."""
        wanted, snapshot = selection(symbols), take(self.paths, as_of)
        found = latest.search(self._engine, snapshot, self._holding(snapshot), wanted.symbols)
        return Result(found, snapshot.version)

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
        """Join to each row of `left` the newest row of `right` that is not later; in the order of `left`.

        Args:
            left: ticks or bars, or a symbol, which means its ticks from `start` to `end`
            right: likewise; a symbol's ticks from before `start` count too
            by: the column in which rows must agree; None joins across; two symbols are always joined across
            tolerance: how much older the right row may be: a timedelta, or text as a bar size; else any age
            suffix: what is added to the name of a column of `right` that `left` has as well
            start: of the ticks of `left`, where it is a symbol
            end: likewise
            as_of: of the ticks of symbols

        The columns of `left`, then those of `right`, null where there is no such row. Ticks are compared to the nanosecond,
        bars by when they begin.
        """
        across = by is None or (isinstance(left, str) and isinstance(right, str))
        version = self.version_at(as_of)
        earlier = self.ticks(left, start=start, end=end, as_of=version) if isinstance(left, str) else left
        later = self.ticks(right, end=end, as_of=version) if isinstance(right, str) else right
        patience = timedelta(microseconds=step_us(tolerance)) if isinstance(tolerance, str) else tolerance
        sql = asof.join(earlier.columns, later.columns, None if across else by, patience, suffix)
        rows = self._engine.table(sql, left_rows=earlier.arrow, right_rows=later.arrow)
        return Result(rows, max(earlier.version, later.version))

    def sql(self, query: str, as_of: AsOf | None = None, *, limits: Limits | None = None, cut: bool = False) -> Result:
        """Answer one SELECT in DuckDB's SQL over the views `ticks`, `bars_1m`, `latest` and `quarantine`.

        The query runs in a process of its own that reads the lake's data files and nothing else, writes nothing, and is ended
        when it takes more than `limits` allow (30 s, 1 GB, a million rows). Where there are more rows, QueryError is raised, or
        with `cut=True` the first are returned and `Result.cut` says so. The text of QueryError is DuckDB's for faulty SQL.
        """
        allowed, snapshot = limits or Limits(), take(self.paths, as_of)
        rows, was_cut = self._sandboxes.ask(snapshot, query, allowed)
        if was_cut and not cut:
            raise QueryError(f"The result has more than {allowed.rows:,} rows: add LIMIT, or aggregate.")
        return Result(rows, snapshot.version, cut=was_cut)

    def quarantine(self, *reasons: str, limit: int | None = None, as_of: AsOf | None = None) -> Result:
        """Return quarantined records, of these reasons or of all, the newest first; `limit` is the most of them.

        Columns: kafka_partition, kafka_offset, kafka_timestamp, key, value (bytes as received, cut at 64 KiB), value_length,
        value_sha256, reason, detail, ingested_at. Keys and values hold anything: escape them before you show them.
        """
        snapshot = take(self.paths, as_of)
        where = f"reason IN ({', '.join(map(quoted, reasons))})" if reasons else "true"
        _require_count(limit)
        rows = source(QUARANTINE, [file.path for file in snapshot.quarantine], snapshot.later_quarantine)
        most = "" if limit is None else f" LIMIT {int(limit)}"
        order = "coalesce(kafka_timestamp, ingested_at) DESC, kafka_partition, kafka_offset DESC"
        return Result(self._engine.table(f"SELECT * FROM {rows} WHERE {where} ORDER BY {order}{most}"), snapshot.version)

    def history(self, limit: int | None = None, as_of: AsOf | None = None) -> Result:
        """Return the versions of the table of ticks, the newest first, as far back as its log reaches.

        Columns: version, ts (when it was committed), operation, sequence (number of the job's commit; null for others), rows
        (that it added), total (rows of the table then), files_added, files_removed.
        """
        version = take(self.paths, as_of).version
        _require_count(limit)
        return Result(history.history(self.paths.ticks, version, limit), version)

    def coverage(
        self,
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Return how densely symbols were told: symbol, ts (the minute), ticks, silence, missing; by symbol, then minute.

        `silence` is the longest time, as a duration, from one tick of the symbol to the next, where the next is in that minute;
        null for the symbol's first tick. `missing` counts the numbers that a source left out just before its ticks of that
        symbol and minute: a producer numbers all its ticks without gaps. A minute without a tick has no row; its silence stands
        in the minute that ended it.
        """
        wanted, snapshot = selection(symbols, start, end), take(self.paths, as_of)
        rows = self._engine.table(coverage.coverage_sql(snapshot, wanted))
        return Result(coverage.with_durations(rows), snapshot.version)

    def _holding(self, snapshot: Snapshot) -> pa.Table:
        """Tell which symbols each data file holds."""
        files = [file.path for file in snapshot.ticks]
        return self._partials.of("symbols", files, lambda missing: self._engine.table(latest.held(missing)))

    def _added(self, snapshot: Snapshot, after: int) -> list[str]:
        """Give the absolute paths of the data files that the versions after one added."""
        found = list(delta_log.entries(self.paths.ticks, snapshot.version, after + 1))
        paths = [path for entry in found for path in entry.added]
        live = {file.path for file in snapshot.ticks}
        if len(found) < snapshot.version - after or not all(path in live or Path(path).exists() for path in paths):
            raise RequestError(f"The log no longer reaches back to version {after}: read the table instead.")
        return paths


def _require_count(limit: int | None) -> None:
    if limit is not None and limit < 0:
        raise RequestError(f"limit={limit} is no number of rows: they count from 0.")


def _widened(wanted: Selection, step: int) -> Selection:
    """Give the ticks that whole bars are made of: the last bar may end after `end`."""
    longer = timedelta(microseconds=step)
    try:
        return Selection(wanted.symbols, wanted.start, wanted.end and wanted.end + longer)
    except OverflowError:
        return Selection(wanted.symbols, wanted.start)


def _stretches(wanted: Selection, step: int) -> str:
    begins = f"make_timestamptz(stretch * {step})"
    terms = [f"{begins} >= {timestamp(wanted.start)}"] if wanted.start else []
    terms += [f"{begins} < {timestamp(wanted.end)}"] if wanted.end else []
    return " AND ".join(terms) or "true"
