"""Queries that return bars, and what follows from bars: returns, and bars of other rows; the sessions that bars may follow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.query import bars, resample, returns
from finance_lake.query.file_cache import FILE
from finance_lake.query.periods import Calendar, Period, assigned, begins, calendar, common_step, microseconds, require_few
from finance_lake.query.relations import source
from finance_lake.query.result import Result
from finance_lake.query.selection import Selection, selection, timestamp
from finance_lake.query.sessions import listed, zone_of
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.tick_queries import TickQueries
from finance_lake.query.times import parse_time
from finance_lake.query.values import EPOCH, MICROSECOND
from finance_storage.paths import TICKS
from finance_storage.schemas import UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from finance_lake.query.snapshot import Snapshot
    from finance_lake.query.times import AsOf, Time, Zone

MAX_FILLED_BARS = 10_000_000


class BarQueries(TickQueries):
    """The queries of `Lake` that return bars."""

    def bars(  # noqa: PLR0913 (each with a default)
        self,
        size: str = "1m",
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
        *,
        tz: Zone | None = None,
        session: str | None = None,
        fill: bool = False,
    ) -> Result:
        """Return bars by symbol, then time: symbol, ts, open, high, low, close, volume, vwap, ticks.

        Args:
            size: a number and s, m or h, one day at most, such as `1s`, `5m` or `1h`; or `1d`, `1w`, `1mo`, `3mo`, `12mo`
            symbols: one, several, or all
            start: only bars that begin at or after this time
            end: only bars that begin before this time; bars are always whole
            as_of: a version or a time
            tz: time zone of days, weeks and months, and of a `start` or `end` without a zone; UTC by default, and with
                `session` that of the exchange. Shorter bars begin at multiples of their size: in UTC since 1970, in another
                zone after its midnight, in elapsed time
            session: an exchange such as XNYS: only ticks from its open until before its close, half days, holidays and breaks
                included; a day is a session, shorter bars count from the open, and from the end of a break
            fill: whether a bar without ticks is added between two bars of a symbol, with the close before it as all of its
                prices, volume 0 and no VWAP

        `ts` is when a bar begins, in UTC: for a week or a month when its first day or session begins. Weeks begin on Monday,
        months count from January. open, high, low, close and vwap are `decimal128(18, 8)`, volume and ticks int64. Without
        `fill`, a bucket without ticks has no bar. A tick without size counts as volume 0. vwap is null for a bar without
        volume, or with any tick larger than 10^12. A volume beyond 64 bits is null.
        """
        zone = tz or (zone_of(session) if session else None)
        how = calendar(size, zone, session)
        wanted, snapshot = selection(symbols, start, end, how.zone), open_snapshot(self.paths, as_of)
        found = self._plain_bars(wanted, snapshot, how) if how.is_plain else self._calendar_bars(wanted, snapshot, how)
        rows = self._filled(found, how) if fill else found
        return Result(rows, snapshot.version, tz=how.zone.key)

    def returns(  # noqa: PLR0913 (each with a default)
        self,
        size: str = "1d",
        symbols: str | Iterable[str] | None = None,
        start: Time | None = None,
        end: Time | None = None,
        as_of: AsOf | None = None,
        *,
        tz: Zone | None = None,
        session: str | None = None,
        fill: bool = False,
        log: bool = False,
    ) -> Result:
        """Return the change from close to close of the bars that `bars` returns, by symbol, then time.

        Columns: symbol, ts (when the bar begins), close, previous (the close of the bar before), change (exact decimal), and
        `return` = change / previous as float64, within two units in its last place; with `log` its natural logarithm,
        ln(close / previous). They are null for the first bar of a symbol.
        """
        found = self.bars(size, symbols, start, end, as_of, tz=tz, session=session, fill=fill)
        return Result(returns.of_bars(found.arrow, log=log), found.version, tz=found.tz)

    def resample(
        self, rows: Result, size: str, *, tz: Zone | None = None, session: str | None = None, fill: bool = False
    ) -> Result:
        """Return bars of ticks or of shorter bars, such as filtered ones or those of a query; arguments as of `bars`.

        Ticks need the columns symbol, price, size, ts_event, kafka_partition and kafka_offset; their bars are exact. Bars need
        the columns that `bars` returns; a bar belongs where it begins, and a VWAP is computed of their rounded VWAPs, so it is
        within 10^-8 of the exact one. Raises RequestError if a column is missing.
        """
        zone = tz or (zone_of(session) if session else None)
        how = calendar(size, zone, session)
        first, last = self._first_and_last(resample.span(rows.columns), given=rows.arrow)
        periods = how.periods(first, last) if first and last and not how.is_plain else []
        base = how.size.step if how.is_plain else common_step(periods, how.size.step)
        partials = self.engine.table(resample.partial(rows.columns, base or 1), given=rows.arrow)
        found = self._whole(partials, base or 1, periods, how)
        return Result(self._filled(found, how) if fill else found, rows.version, tz=how.zone.key)

    def sessions(self, exchange: str, start: Time, end: Time) -> Result:
        """Return the days of an exchange such as XNYS that overlap the time from `start` to `end`, in order.

        Columns: day, kind (`full day`, `half day`, `holiday`), open, close, break_start, break_end (times in UTC; null where
        there is none). A half day opens later or closes earlier than others. Days on which the exchange never trades, such as
        weekends, have no row. Days are those of the exchange's time zone, and so are a `start` and an `end` without a zone.

        Raises RequestError if the exchange is unknown, if its calendar does not reach that far, or without exchange-calendars,
        which `pip install 'financelake[sessions]'` adds.
        """
        zone = zone_of(exchange)
        begin, before = parse_time(start, "start", zone), parse_time(end, "end", zone)
        last = max(before - MICROSECOND, EPOCH).astimezone(zone).date()
        return Result(listed(exchange, begin.astimezone(zone).date(), last), self.version, tz=zone.key)

    def _plain_bars(self, wanted: Selection, snapshot: Snapshot, how: Calendar) -> pa.Table:
        step = how.size.step or 1
        partials = self._partial_bars(snapshot, _widened(wanted, step), step)
        within = f"SELECT * FROM partials WHERE {_bucket_range(wanted, step)}"
        return self.engine.table(bars.whole(within, step), partials=partials)

    def _calendar_bars(self, wanted: Selection, snapshot: Snapshot, how: Calendar) -> pa.Table:
        periods = [period for period in self._periods(wanted, snapshot, how) if _holds(wanted, period, how)]
        base = common_step(periods, how.size.step)
        ticks = Selection(wanted.symbols, *_extent(periods)) if periods else Selection(wanted.symbols, EPOCH, EPOCH)
        found = self._whole(self._partial_bars(snapshot, ticks, base), base, periods, how)
        return self.engine.table(f"SELECT * FROM found WHERE {wanted.on('ts')} ORDER BY symbol, ts", found=found)

    def _whole(self, partials: pa.Table, base: int, periods: Sequence[Period], how: Calendar) -> pa.Table:
        if how.is_plain:
            return self.engine.table(bars.whole("SELECT * FROM partials", base), partials=partials)
        placed = assigned(partials, base, periods, how.size.step)
        return self.engine.table(bars.whole("SELECT * FROM placed", 1), placed=placed)

    def _partial_bars(self, snapshot: Snapshot, ticks: Selection, step: int) -> pa.Table:
        """Return partial bars of all files that may hold these ticks. They are cached by file, with the files' other ticks."""
        where = Selection(ticks.symbols).where

        def compute(missing: Sequence[str]) -> pa.Table:
            rows = f"(SELECT * FROM {source(TICKS, missing, with_file=True)} WHERE {where})"
            return self.engine.table(bars.partial(rows, step, f"{FILE}, "))

        return self._partials.of(("bars", step, ticks.symbols), snapshot.files_of(ticks), compute)

    def _periods(self, wanted: Selection, snapshot: Snapshot, how: Calendar) -> list[Period]:
        first, last = self._span(snapshot)
        if first is None or last is None:
            return []
        begin = max(first, wanted.start or first)
        # The bar of the first tick may begin before an `end` that is earlier than the tick.
        return how.periods(begin, max(begin, min(last, wanted.end or last))) if begin <= last else []

    def _span(self, snapshot: Snapshot) -> tuple[datetime | None, datetime | None]:
        """Return the times of the first and the last tick; None without ticks."""
        if snapshot.span:
            return snapshot.span
        return self._first_and_last(resample.span(["ts_event", "price"], snapshot.source(Selection())))

    def _first_and_last(self, sql: str, **tables: pa.Table) -> tuple[datetime | None, datetime | None]:
        span = self.engine.table(sql, **tables)
        first, last = (_time(span[name][0].as_py()) for name in ("first", "last"))
        return first, last

    def _filled(self, found: pa.Table, how: Calendar) -> pa.Table:
        if not found.num_rows:
            return found
        times = found.column("ts").cast(pa.int64()).to_numpy()
        first, last = (EPOCH + int(at) * MICROSECOND for at in (times.min(), times.max()))
        step = how.size.step
        all_periods = [Period(int(times.min()), int(times.max()) + 1, 0)] if how.is_plain else how.periods(first, last)
        require_few(sum(1 if step is None else (end - begin) // step for begin, end, _ in all_periods), MAX_FILLED_BARS)
        grid = pa.table({"ts": pa.array(begins(all_periods, step)).cast(UTC_MICROSECONDS)})
        counted = self.engine.table(resample.filled_count(), found=found, grid=grid)["bars"][0].as_py()
        require_few(counted, MAX_FILLED_BARS)
        return self.engine.table(resample.filled(), found=found, grid=grid)


def _time(us: int | None) -> datetime | None:
    return None if us is None else EPOCH + us * MICROSECOND


def _holds(wanted: Selection, period: Period, how: Calendar) -> bool:
    """Return whether a bar of a period may begin within the selected time."""
    first, last = (period.begin, period.end - 1) if how.size.step else (period.bar, period.bar)
    begin = microseconds(wanted.start) if wanted.start else None
    end = microseconds(wanted.end) if wanted.end else None
    return (begin is None or last >= begin) and (end is None or first < end)


def _extent(periods: Sequence[Period]) -> tuple[datetime, datetime]:
    return EPOCH + periods[0].begin * MICROSECOND, EPOCH + max(period.end for period in periods) * MICROSECOND


def _widened(wanted: Selection, step: int) -> Selection:
    """Return the selection of ticks that whole bars need: the last bar may end after `end`."""
    longer = timedelta(microseconds=step)
    try:
        return Selection(wanted.symbols, wanted.start, wanted.end and wanted.end + longer)
    except OverflowError:
        return Selection(wanted.symbols, wanted.start)


def _bucket_range(wanted: Selection, step: int) -> str:
    begins_at = f"make_timestamptz(stretch * {step})"
    terms = [f"{begins_at} >= {timestamp(wanted.start)}"] if wanted.start else []
    terms += [f"{begins_at} < {timestamp(wanted.end)}"] if wanted.end else []
    return " AND ".join(terms) or "true"
