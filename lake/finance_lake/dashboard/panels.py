"""The data of each panel, as plain values for JSON. Read-only; the routes are in `app`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from finance_lake.dashboard.bar_size import AUTO, fitting
from finance_lake.dashboard.commit_update import change, milliseconds
from finance_lake.dashboard.json_encoding import as_csv, as_json, rows, sent
from finance_lake.lake import Lake
from finance_lake.query import values
from finance_lake.query.history import total_rows, versions
from finance_lake.query.relations import source
from finance_lake.query.selection import UNIT_US
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.sql import Limits
from finance_lake.query.values import EPOCH, MICROSECOND
from finance_lake.status import newest_stored, roles, seconds_behind
from finance_role.text import price
from finance_storage import delta_log
from finance_storage.delta_log import LogTail
from finance_storage.derived_tables import pauses
from finance_storage.errors import LakeError, NoLakeError, RequestError
from finance_storage.paths import QUARANTINE
from finance_verify.verdict import last_verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from finance_lake.query.engine import Engine
    from finance_lake.query.result import Result
    from finance_lake.query.snapshot import Snapshot
    from finance_storage.delta_log import Entry
    from finance_storage.paths import LakePaths

# Cache of per-file results, for each of two lakes: the current version and earlier versions.
CACHE_BYTES = 24 * 1024 * 1024
MAX_BARS = 2_000
MAX_ROWS = 1_000
MAX_CSV_ROWS = 100_000
MAX_SYMBOLS = 2_000
MAX_ANSWER_BYTES = 32 * 1024 * 1024
SQL = Limits(seconds=10, megabytes=512, rows=MAX_ROWS, values=2_000_000, result_megabytes=32)
SQL_CSV = replace(SQL, rows=MAX_CSV_ROWS)
# The tick rate is measured over the commits of the last RATE_SECONDS before the newest, at most RATE_COMMITS.
RATE_SECONDS = 10
RATE_COMMITS = 60
MAX_VALUE_LENGTH = 300
DAY_US = UNIT_US["d"]


class Panels:
    """The data of the page's panels. Each method can raise LakeError: see `finance_storage.errors`."""

    def __init__(self, paths: LakePaths, engine: Engine) -> None:
        """Prepare the panels. The lake is opened on first use, so it need not exist yet."""
        self.paths = paths
        self._engine = engine
        self._ticks, self._rejects = LogTail(paths.ticks), LogTail(paths.quarantine)
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

    def bars(self, symbol: str, size: str, as_of: str | None = None, limit: int = 500) -> dict[str, Any]:
        """Return the newest bars of a symbol, oldest first, and the order key of its newest tick. `ts` is when a bar begins.

        The size `auto` is one that fits the symbol's ticks; the answer has it.
        """
        if not symbol:
            raise RequestError("symbol is missing: /api/bars?symbol=AAPL&size=1m")
        lake = self._lake(as_of)
        result = lake.bars("1m" if size == AUTO else size, symbol, as_of=as_of)
        if size == AUTO and (size := fitting(result.arrow.column("ts"))) != "1m":
            result = lake.bars(size, symbol, as_of=result.version)
        newest = self._newest_ticks(result, as_of, symbol)
        table = result.arrow.slice(max(0, len(result) - limit)).drop_columns(["symbol"])
        return {
            "version": result.version,
            "symbol": symbol,
            "size": size,
            "last": newest.get(symbol, {}).get("last"),
            "bars": [{**row, "ts": _stamp(row["ts"])} for row in rows(table)],
        }

    def latest(self, as_of: str | None = None) -> dict[str, Any]:
        """Return each symbol's newest tick and its change since the first tick of that UTC day, for at most MAX_SYMBOLS."""
        lake = self._lake(as_of)
        version = lake.version_at(as_of)
        names = lake.symbols(version, limit=MAX_SYMBOLS + 1)
        # Symbols are named only if the list is cut: DuckDB compares each row with each name.
        shown = names[:MAX_SYMBOLS] if len(names) > MAX_SYMBOLS else []
        ticks = lake.latest(*shown, as_of=version)
        begin = pc.min(ticks.arrow.column("ts_event").cast(pa.int64())).as_py()
        start = None if begin is None else EPOCH + begin // DAY_US * timedelta(days=1)
        days = last_of_each(lake.bars("1d", shown or None, start, as_of=version).arrow)
        today = {row["symbol"]: row for row in values.rows(days)}
        entries = [{**_newest(row), **_day(_newest(row), today[row["symbol"]])} for row in ticks.rows()]
        return {"version": version, "symbols": entries, "cut": len(names) > MAX_SYMBOLS}

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
            "counts": self._reasons(snapshot),
            "records": [_shortened(row) for row in rows(result.arrow)],
        }

    def sql(self, query: str, as_of: str | None = None) -> bytes:
        """Run one SELECT and return JSON, with columns and rows apart because names can occur twice."""
        result = self._lake(as_of).sql(query, as_of, limits=SQL, cut=True)
        columns = [{"name": field.name, "type": str(field.type)} for field in result.arrow.schema]
        return as_json({"version": result.version, "columns": columns, "cut": result.cut}, result.arrow, MAX_ANSWER_BYTES)

    def sql_csv(self, query: str, as_of: str | None = None) -> bytes:
        """Run one SELECT and return CSV. Raises QueryError if there are more than MAX_CSV_ROWS rows."""
        return as_csv(self._lake(as_of).sql(query, as_of, limits=SQL_CSV).arrow, MAX_ANSWER_BYTES)

    def _lake(self, as_of: str | None) -> Lake:
        # Two lakes, so that requests for earlier versions do not evict the cache of the current one.
        if as_of is None:
            self._now = self._now or Lake(self.paths.root, cache_bytes=CACHE_BYTES, engine=self._engine)
            return self._now
        self._earlier = self._earlier or Lake(self.paths.root, cache_bytes=CACHE_BYTES, engine=self._engine)
        return self._earlier

    def _newest_ticks(self, of: Result, as_of: str | None, *symbols: str) -> dict[str, dict[str, Any]]:
        ticks = self._lake(as_of).latest(*symbols, as_of=of.version)
        return {row["symbol"]: _newest(row) for row in ticks.rows()}

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

    def _reasons(self, snapshot: Snapshot) -> dict[str, int]:
        # Reads only one column: the values of a large quarantine would not fit into memory.
        files = source(QUARANTINE, [file.path for file in snapshot.quarantine])
        sql = f"SELECT reason, count(*) FROM {files} GROUP BY reason ORDER BY count(*) DESC, reason"  # noqa: S608 (quoted)
        counts = self._engine.table(sql)
        return dict(zip(*(column.to_pylist() for column in counts.columns), strict=True))

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


def last_of_each(bars: pa.Table) -> pa.Table:
    """Return the newest bar of each symbol. The bars are sorted by symbol, then time."""
    ends = pc.cumulative_sum(pc.value_counts(bars.column("symbol").combine_chunks()).field("counts"))
    return bars.take(pc.subtract(ends, 1))


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


def _paused(paths: LakePaths) -> dict[str, str]:
    return {name: pause.reason for name, pause in sorted(pauses(paths).items())}


def _newest(row: Mapping[str, Any]) -> dict[str, Any]:
    place = (row["ts_event"] - EPOCH) // MICROSECOND, row["ts_event_nanos"] or 0, row["kafka_partition"], row["kafka_offset"]
    return {
        "symbol": row["symbol"],
        "price": price(row["price"]),
        "size": sent(row["size"]),
        "ts": sent(row["ts_event"]),
        "last": place,
    }


def _day(tick: Mapping[str, Any], day: Mapping[str, Any]) -> dict[str, Any]:
    now, first = Decimal(tick["price"]), day["open"]
    percent = f"{(now - first) / first * 100:.2f}"
    return {
        "day": _stamp(sent(day["ts"])),
        "open": price(first),
        "high": price(day["high"]),
        "low": price(day["low"]),
        "volume": sent(day["volume"]),
        "ticks": day["ticks"],
        "change": price(now - first),
        "percent": percent,
    }


def _stamp(text: str) -> int:
    """Return a bar's begin in seconds since 1970, as the chart needs it."""
    return int(datetime.fromisoformat(text).timestamp())


def _shortened(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("key", "value", "detail"):
        text = row[name]
        row[name] = text if text is None or len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]} ..."
    return row
