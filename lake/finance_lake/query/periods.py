"""Periods: days, weeks and months of a time zone, or the sessions of an exchange, into which ticks are grouped as bars.

Ticks are first grouped by a step that divides all periods, into partial bars, which are exact and can be added up. Then each
partial bar gets the bar that its period belongs to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import reduce
from math import gcd
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from finance_lake.query.selection import UNIT_US, step_us
from finance_lake.query.sessions import sessions_of
from finance_lake.query.times import parse_zone
from finance_lake.query.values import EPOCH, MICROSECOND
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.query.times import Zone

CALENDAR_SIZE = re.compile(r"1d|1w|(1|2|3|4|6|12)mo")
DAY_US = UNIT_US["d"]
ONE_DAY = timedelta(days=1)


class Period(NamedTuple):
    """Ticks from `begin` until `end` are of the bar that begins at `bar`; all in microseconds since 1970."""

    begin: int
    end: int
    bar: int


@dataclass(frozen=True)
class BarSize:
    """The size of bars: a fixed step in microseconds, or a number of months, a week or a day of a calendar.

    Attributes:
        step: microseconds; None for days, weeks and months of a calendar
        months: number of months; 0 for days and weeks
        days: 7 for a week, 1 for a day

    """

    step: int | None = None
    months: int = 0
    days: int = 0

    def first_day(self, day: date) -> date:
        """Return the first day of the bar that holds this day. Weeks begin on Monday, months count from January."""
        if self.months:
            return day.replace(month=(day.month - 1) // self.months * self.months + 1, day=1)
        return day - timedelta(days=day.weekday()) if self.days > 1 else day


@dataclass(frozen=True)
class Calendar:
    """How ticks are grouped into bars: the size, the time zone, and the exchange whose sessions count, if any."""

    size: BarSize
    zone: ZoneInfo
    session: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether bars begin at multiples of their step since 1970."""
        return self.size.step is not None and self.session is None and self.zone.key == "UTC"

    def periods(self, first: datetime, last: datetime) -> list[Period]:
        """Return the periods of whole bars that hold these times and all between, in order, without overlap."""
        begin, end = (at.astimezone(self.zone).date() for at in (first, last))
        begin, end = self.size.first_day(begin - ONE_DAY), self._last_day(end + ONE_DAY)
        if self.session is None:
            return _of_days(self.size, self.zone, begin, end)
        return _of_sessions(self.size, self.session, begin, end)

    def _last_day(self, day: date) -> date:
        begin, after = self.size.first_day(day), day
        while self.size.first_day(after + ONE_DAY) == begin and self.size.step is None:
            after += ONE_DAY
        return after


def calendar(size: str, tz: Zone | None, session: str | None) -> Calendar:
    """Parse the size of bars, their time zone and session. Raises RequestError."""
    zone = ZoneInfo("UTC") if tz is None else parse_zone(tz)
    if not isinstance(size, str) or not CALENDAR_SIZE.fullmatch(size):
        return Calendar(BarSize(step_us(size)), zone, session)
    if size == "1d" and session is None and zone.key == "UTC":
        return Calendar(BarSize(DAY_US), zone)
    if size.endswith("mo"):
        return Calendar(BarSize(months=int(size[:-2])), zone, session)
    return Calendar(BarSize(days=7 if size == "1w" else 1), zone, session)


def common_step(periods: Sequence[Period], step: int | None) -> int:
    """Return the largest step, one day at most, that divides all periods and `step`, in microseconds."""
    edges = {edge for period in periods for edge in (period.begin, period.end)}
    return reduce(gcd, edges, gcd(DAY_US, step or DAY_US))


def assigned(partials: pa.Table, base: int, periods: Sequence[Period], step: int | None) -> pa.Table:
    """Return partial bars, `base` microseconds wide, with `stretch` as when their bar begins, without those of no period."""
    begin, end, bar = np.array(periods, np.int64).reshape(-1, 3).T
    at = partials.column("stretch").cast(pa.int64()).to_numpy() * base
    place = np.searchsorted(begin, at, side="right") - 1
    inside = place >= 0
    inside[inside] = at[inside] < end[place[inside]]
    at, place = at[inside], place[inside]
    times = bar[place] if step is None else begin[place] + (at - begin[place]) // step * step
    kept = partials.filter(pa.array(inside))
    return kept.set_column(kept.column_names.index("stretch"), "stretch", pa.array(times, pa.int64()))


def begins(periods: Sequence[Period], step: int | None) -> np.ndarray:
    """Return when the bars of the periods begin, ascending, in microseconds since 1970."""
    if step is None:
        return np.unique(np.array([period.bar for period in periods], np.int64))
    return np.concatenate([np.arange(period.begin, period.end, step) for period in periods] or [np.empty(0, np.int64)])


def _of_days(size: BarSize, zone: ZoneInfo, first: date, last: date) -> list[Period]:
    """Return the days of a zone, from midnight to midnight. A day may have 23 or 25 hours, or not exist."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    midnights = [_midnight(day, zone) for day in [*days, last + ONE_DAY]]
    at = dict(zip(days, midnights, strict=False))
    edges = zip(days, midnights, midnights[1:], strict=False)
    return [Period(begin, end, at[size.first_day(day)]) for day, begin, end in edges if begin < end]


def _of_sessions(size: BarSize, exchange: str, first: date, last: date) -> list[Period]:
    opened: dict[date, int] = {}
    periods = []
    for session in sessions_of(exchange, first, last):
        bar = opened.setdefault(size.first_day(session.date), microseconds(session.open))
        periods += [Period(microseconds(begin), microseconds(end), bar) for begin, end in session.parts]
    return periods


def _midnight(day: date, zone: ZoneInfo) -> int:
    # Where clocks skip midnight this is the moment of the skip; where they repeat it, the first one.
    return microseconds(datetime.combine(day, time(), zone).astimezone(UTC))


def microseconds(at: datetime) -> int:
    """Return an aware time as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def require_few(count: int, most: int) -> None:
    """Check the number of bars that would be filled in. Raises RequestError."""
    if count > most:
        raise RequestError(f"fill=True would make {count:,} bars, more than {most:,}: choose a larger size, or a shorter time.")
