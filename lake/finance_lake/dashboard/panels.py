"""The data of each panel, as plain values for JSON. Read-only; the routes are in `app`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from finance_lake.dashboard import rejects, watch_list
from finance_lake.dashboard.bar_size import AUTO, fitting, fitting_files
from finance_lake.dashboard.commit_update import change, milliseconds
from finance_lake.dashboard.json_encoding import as_csv, as_json, rows, sent
from finance_lake.dashboard.watch_list import stamp
from finance_lake.lake import Lake
from finance_lake.query.bar_history import BarHistory
from finance_lake.query.history import total_rows, versions
from finance_lake.query.selection import UNIT_US, Selection, selection, step_us
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.sql import Limits, views
from finance_lake.status import newest_stored, roles, seconds_behind
from finance_storage import delta_log
from finance_storage.delta_log import LogTail
from finance_storage.derived_tables import pauses
from finance_storage.errors import LakeError, NoLakeError, RequestError
from finance_verify.verdict import last_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from finance_lake.query.engine import Engine
    from finance_lake.query.snapshot import Snapshot
    from finance_lake.query.sql import Cancel
    from finance_storage.delta_log import Entry
    from finance_storage.paths import LakePaths

# Cache of per-file results, for each of two lakes: the current version and earlier versions.
CACHE_BYTES = 24 * 1024 * 1024
MAX_BARS = 2_000
MAX_ROWS = 1_000
MAX_CSV_ROWS = 100_000
MAX_ANSWER_BYTES = 32 * 1024 * 1024
SQL = Limits(seconds=10, megabytes=512, rows=MAX_ROWS, values=2_000_000, result_megabytes=32)
SQL_CSV = replace(SQL, rows=MAX_CSV_ROWS)
# The tick rate is measured over the commits of the last RATE_SECONDS before the newest, at most RATE_COMMITS.
RATE_SECONDS = 10
RATE_COMMITS = 60
SECOND_US = UNIT_US["s"]
# With more rows than this in a symbol's files, the size of its bars is chosen by the log alone.
MAX_ROWS_LOOKED_AT = 1_000_000


class Panels:
    """The data of the page's panels. Each method can raise LakeError: see `finance_storage.errors`."""

    def __init__(self, paths: LakePaths, engine: Engine) -> None:
        """Prepare the panels. The lake is opened on first use, so it need not exist yet."""
        self.paths = paths
        self._engine = engine
        self._ticks, self._rejects = LogTail(paths.ticks), LogTail(paths.quarantine)
        self._bars = BarHistory(engine, CACHE_BYTES)
        self._lag_of: tuple[int, int | None] = (-1, None)
        self._now: Lake | None = None
        self._earlier: Lake | None = None

    def close(self) -> None:
        """Stop the SQL processes."""
        for lake in (self._now, self._earlier):
            if lake:
                lake.close()

    def status(self, as_of: str | None = None) -> dict[str, Any]:
        """Return the status strip: services, paused derived tables, version, rows, rate, lag, quarantined, the last verdict.

        Without a readable lake, `version` is None and `problem` says why. `waiting` means that the tables are behind and not
        growing, so the lag increases with time.
        """
        now = datetime.now(UTC)
        # The state of services is known only for the present.
        present = {"services": roles(self.paths), "paused": _paused(self.paths)} if as_of is None else {"services": None}
        head = {"now": milliseconds(now), "problem": None, **present}
        try:
            return {**head, **self._figures(as_of, now)}
        except NoLakeError as error:
            return {**head, "problem": str(error), "version": None}
        except RequestError:
            raise
        except LakeError as error:
            return {**head, "problem": str(error), "version": None, "unreadable": True}

    def bars(
        self,
        symbol: str,
        size: str,
        as_of: str | None = None,
        limit: int = 500,
        span: tuple[int | None, int | None] = (None, None),
    ) -> dict[str, Any]:
        """Return bars of a symbol, oldest first: `ts` is when a bar begins, `last` the order key of the symbol's newest tick.

        `span` is (begin, before), in seconds since 1970: the newest bars that begin before `before`, or the oldest that begin
        at or after `begin`; without both, the newest of all. There may be fewer than `limit`, also if `more` says that the
        lake has further ticks of the symbol in that direction: ask again from `reached`. `last` is null for a page that does
        not reach the newest tick. The size `auto` is one that fits the
        symbol's ticks; the answer has it.
        """
        if not symbol:
            raise RequestError("symbol is missing: /api/bars?symbol=AAPL&size=1m")
        selection(symbol)
        lake, (begin, before) = self._lake(as_of), span
        snapshot = open_snapshot(self.paths, as_of)
        size = self._fitting(lake, snapshot, symbol) if size == AUTO else size
        step = step_us(size)
        if begin is not None:
            page = self._bars.after(snapshot, symbol, step, begin * SECOND_US, limit)
        else:
            page = self._bars.before(snapshot, symbol, step, None if before is None else before * SECOND_US, limit)
        is_newest = before is None and not (begin is not None and page.more)
        newest = self._newest_ticks(snapshot.version, as_of, symbol) if is_newest else {}
        return {
            "version": snapshot.version,
            "symbol": symbol,
            "size": size,
            "last": newest.get(symbol, {}).get("last"),
            "more": page.more,
            "reached": page.reached // SECOND_US,
            "bars": [{**row, "ts": stamp(row["ts"])} for row in rows(page.bars.drop_columns(["symbol"]))],
        }

    def latest(self, as_of: str | None = None) -> dict[str, Any]:
        """Return the watch list: see `watch_list.latest`."""
        return watch_list.latest(self._lake(as_of), as_of)

    def sparklines(self, symbols: Sequence[str], as_of: str | None = None) -> dict[str, Any]:
        """Return the closes of the last day of some symbols: see `watch_list.sparklines`."""
        return watch_list.sparklines(self._lake(as_of), symbols, as_of)

    def history(self, limit: int = 50, as_of: str | None = None) -> dict[str, Any]:
        """Return the newest versions, newest first, and the oldest version that the log still has."""
        version = open_snapshot(self.paths, as_of).version
        commits = [{name: sent(value) for name, value in row.items()} for row in versions(self.paths.ticks, version, limit)]
        return {"version": version, "oldest": delta_log.oldest(self.paths.ticks, version), "commits": commits}

    def quarantine(self, reason: str | None = None, limit: int = 100, as_of: str | None = None) -> dict[str, Any]:
        """Return counts by reason, and the newest records with keys and values escaped."""
        snapshot = open_snapshot(self.paths, as_of)
        result = self._lake(as_of).quarantine(*([reason] if reason else []), limit=limit, as_of=snapshot.version)
        return {
            "version": snapshot.version,
            **rejects.summary(self._engine, snapshot),
            "records": [rejects.shortened(row) for row in rows(result.arrow)],
        }

    def schema(self, as_of: str | None = None) -> dict[str, Any]:
        """Return the tables that a query may name, each with the names and DuckDB types of its columns."""
        snapshot = open_snapshot(self.paths, as_of)
        named = views(snapshot, (), ())
        described = {
            name: self._engine.table(f"DESCRIBE WITH ticks AS ({named['ticks']}) SELECT * FROM ({sql})")  # noqa: S608 (ours)
            for name, sql in named.items()
        }
        return {"version": snapshot.version, "tables": {name: _columns(rows) for name, rows in described.items()}}

    def sql(self, query: str, as_of: str | None = None, cancel: Cancel | None = None) -> bytes:
        """Run one SELECT and return JSON, with columns and rows apart because names can occur twice."""
        result = self._lake(as_of).sql(query, as_of, limits=SQL, cut=True, cancel=cancel)
        columns = [{"name": field.name, "type": str(field.type)} for field in result.arrow.schema]
        return as_json({"version": result.version, "columns": columns, "cut": result.cut}, result.arrow, MAX_ANSWER_BYTES)

    def sql_csv(self, query: str, as_of: str | None = None, cancel: Cancel | None = None) -> bytes:
        """Run one SELECT and return CSV. Raises QueryError if there are more than MAX_CSV_ROWS rows."""
        return as_csv(self._lake(as_of).sql(query, as_of, limits=SQL_CSV, cancel=cancel).arrow, MAX_ANSWER_BYTES)

    def _lake(self, as_of: str | None) -> Lake:
        # Two lakes, so that requests for earlier versions do not evict the cache of the current one.
        if as_of is None:
            self._now = self._now or Lake(self.paths, cache_bytes=CACHE_BYTES, engine=self._engine)
            return self._now
        self._earlier = self._earlier or Lake(self.paths, cache_bytes=CACHE_BYTES, engine=self._engine)
        return self._earlier

    def _newest_ticks(self, version: int, as_of: str | None, *symbols: str) -> dict[str, dict[str, Any]]:
        ticks = self._lake(as_of).latest(*symbols, as_of=version)
        return {row["symbol"]: watch_list.newest(row) for row in ticks.rows()}

    @staticmethod
    def _fitting(lake: Lake, snapshot: Snapshot, symbol: str) -> str:
        """Return the size of bars that fits a symbol's ticks; of very many ticks it looks only at the log."""
        files = [file for file in snapshot.ticks if file.may_hold(Selection((symbol,)))]
        if sum(file.rows for file in files) > MAX_ROWS_LOOKED_AT:
            return fitting_files((file.first_event, file.last_event, file.rows) for file in files)
        return fitting(lake.bars("1m", symbol, as_of=snapshot.version).arrow.column("ts"))

    def _figures(self, as_of: str | None, now: datetime) -> dict[str, Any]:
        version = self._version(as_of)
        entries = recent(delta_log.entries(self.paths.ticks, version, max(0, version - RATE_COMMITS)))
        entry, stored = entries[0], newest_stored(self.paths, version)
        lag = self._lag(stored.version) if stored else None
        behind = seconds_behind(self.paths, stored, now) if as_of is None else 0.0
        if behind:
            lag = (lag or 0) + round(1000 * behind)
        idle = as_of is None and (now - (stored or entry).committed).total_seconds() > RATE_SECONDS
        return {
            "version": version,
            "committed": milliseconds((stored or entry).committed),
            "rows": total_rows(self.paths.ticks, entry),
            "rate": 0.0 if idle else rate(entries),
            "lag": lag,
            "waiting": bool(behind),
            "quarantined": self._quarantined(as_of),
            "verdict": sent_verdict(last_verdict(self.paths)),
        }

    def _version(self, as_of: str | None) -> int:
        # The status is computed after each commit, and polling the log costs a hundredth of opening the table.
        newest = self._ticks.poll() if as_of is None else None
        return open_snapshot(self.paths, as_of).version if newest is None else newest

    def _quarantined(self, as_of: str | None) -> int:
        if as_of is not None:
            return open_snapshot(self.paths, as_of).quarantined
        newest = self._rejects.poll()
        entry = None if newest is None else delta_log.entry(self.paths.quarantine, newest)
        return total_rows(self.paths.quarantine, entry) if entry else 0

    def _lag(self, version: int) -> int | None:
        if self._lag_of[0] != version:
            update = change(self.paths, self._engine, version)
            self._lag_of = version, update.lag if update else None
        return self._lag_of[1]


def recent(entries: Iterator[Entry]) -> list[Entry]:
    """Return the newest entry and those up to RATE_SECONDS before it; `entries` come newest first."""
    newest = next(entries, None)
    if newest is None:
        raise NoLakeError("The lake has just been deleted.")
    return [newest, *takewhile(lambda entry: (newest.committed - entry.committed).total_seconds() <= RATE_SECONDS, entries)]


def rate(entries: list[Entry]) -> float | None:
    """Return ticks per second over the time that the entries span; None if they span no time. Newest first."""
    seconds = (entries[0].committed - entries[-1].committed).total_seconds()
    # The rows of the oldest entry arrived before the span begins.
    return round(sum(entry.rows for entry in entries[:-1]) / seconds, 1) if seconds else None


def sent_verdict(verdict: object) -> Any:  # noqa: ANN401
    """Return the last verdict as it is sent; None if there is none."""
    if verdict is None:
        return None
    return {
        name: sent(getattr(verdict, name))
        for name in ("verdict", "code", "sentence", "at", "broker", "version", "lost", "doubled")
    }


def _columns(described: pa.Table) -> list[dict[str, str]]:
    names, types = (described.column(name).to_pylist() for name in ("column_name", "column_type"))
    return [{"name": name, "type": kind} for name, kind in zip(names, types, strict=True)]


def _paused(paths: LakePaths) -> dict[str, str]:
    return {name: pause.reason for name, pause in sorted(pauses(paths).items())}
