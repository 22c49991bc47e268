"""Queries that return ticks: a selection, what new versions added, the newest, and joins by time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.query import asof, latest, markout
from finance_lake.query.reader import LakeReader
from finance_lake.query.relations import ORDER, source
from finance_lake.query.result import Result
from finance_lake.query.selection import selection
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.times import parse_duration
from finance_storage import delta_log
from finance_storage.bucket_cache import all_exist
from finance_storage.errors import RequestError
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from finance_lake.query.snapshot import Snapshot
    from finance_lake.query.times import AsOf, Duration, Time

IN_ORDER = ", ".join(ORDER)


class TickQueries(LakeReader):
    """The queries of `Lake` that return ticks."""

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
        tolerance: Duration | None = None,
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
            tolerance: maximum age of the right row: a timedelta, or text such as `100ms`, `30s` or `5m`; by default any age
            suffix: added to the names of columns of `right` that `left` has too
            start: start of the ticks of `left`, if it is a symbol
            end: end of the ticks of symbols
            as_of: version or time of the ticks of symbols

        """
        across = by is None or (isinstance(left, str) and isinstance(right, str))
        version = self.version_at(as_of)
        left_rows = self.ticks(left, start=start, end=end, as_of=version) if isinstance(left, str) else left
        right_rows = self.ticks(right, end=end, as_of=version) if isinstance(right, str) else right
        max_age = None if tolerance is None else parse_duration(tolerance, "tolerance")
        sql = asof.join(left_rows.columns, right_rows.columns, None if across else by, max_age, suffix)
        rows = self.engine.table(sql, left_rows=left_rows.arrow, right_rows=right_rows.arrow)
        return Result(rows, max(left_rows.version, right_rows.version), tz=left_rows.tz)

    def markout(  # noqa: PLR0913 (keywords, each with a default)
        self,
        rows: str | Result,
        horizons: Sequence[Duration] = ("1s", "10s", "1m"),
        *,
        of: str | Result | None = None,
        price: str = "price",
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
    ) -> Result:
        """Return each row with the price at each horizon after it, in the order of `rows`.

        The price at a time is that of the newest tick that is not later. For a horizon `10s` the columns `price_10s` and
        `markout_10s`, the difference to the row's own price, are added; both are exact decimals. They are null where the
        ticks end before that time: the price at that time is not known yet. Times are compared to the nanosecond.

        Args:
            rows: ticks; or a symbol, for its ticks from `start` to `end`
            horizons: durations such as `100ms`, `10s` or `5m`, or timedeltas; negative ones are before the tick
            of: the ticks that have the later prices: a symbol, or rows that are joined by `symbol`; by default ticks of the
                same symbols
            price: the column of prices, in both
            start: start of the ticks of `rows`, if it is a symbol
            end: end of the ticks of `rows`, if it is a symbol
            as_of: version or time of the ticks of symbols

        """
        steps = markout.horizons_of(horizons)
        version = rows.version if isinstance(rows, Result) and as_of is None else self.version_at(as_of)
        left = self.ticks(rows, start=start, end=end, as_of=version) if isinstance(rows, str) else rows
        names = left.arrow.column("symbol").unique().drop_null().to_pylist() if of is None and "symbol" in left.columns else []
        right = of if isinstance(of, Result) else self.ticks(of or names, as_of=version)
        sql = markout.join(left.columns, right.columns, steps, price, across=isinstance(of, str))
        found = self.engine.table(sql, left_rows=left.arrow, right_rows=right.arrow)
        return Result(found, max(left.version, right.version), tz=left.tz)

    def _added(self, snapshot: Snapshot, after: int) -> list[str]:
        """Return the absolute paths of the data files that the versions after `after` added."""
        entries = list(delta_log.entries(self.paths.ticks, snapshot.version, after + 1))
        paths = [path for entry in entries for path in entry.added]
        live = {file.path for file in snapshot.ticks}
        if len(entries) < snapshot.version - after or not all_exist(path for path in paths if path not in live):
            raise RequestError(
                f"The ticks added after version {after} can no longer be listed, since log entries or data files were removed: "
                "read the table instead."
            )
        return paths
