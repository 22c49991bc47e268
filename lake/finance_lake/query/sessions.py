"""The sessions of exchanges: when they open and close, with half days, holidays and lunch breaks, from exchange-calendars."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from finance_storage.errors import RequestError
from finance_storage.schemas import UTC_MICROSECONDS

if TYPE_CHECKING:
    from datetime import date, datetime

MISSING = "The sessions of {} need exchange-calendars: `pip install 'financelake[sessions]'`."
SCHEMA = pa.schema(
    [("day", pa.date32()), ("kind", pa.string())]
    + [(name, UTC_MICROSECONDS) for name in ("open", "close", "break_start", "break_end")]
)


class Session(NamedTuple):
    """One trading day: its date, and when it opens and closes, in UTC. A lunch break has a begin and an end."""

    date: date
    open: datetime
    close: datetime
    break_start: datetime | None = None
    break_end: datetime | None = None

    @property
    def parts(self) -> list[tuple[datetime, datetime]]:
        """The times from and until which it trades: one, or two around a break."""
        if self.break_start and self.break_end:
            return [(self.open, self.break_start), (self.break_end, self.close)]
        return [(self.open, self.close)]


def sessions_of(exchange: str, first: date, last: date) -> tuple[Session, ...]:
    """Return the sessions of an exchange such as XNYS from `first` to `last`, both included.

    Raises RequestError if the exchange is unknown, if its calendar does not reach that far, or without exchange-calendars.
    """
    if first > last:
        return ()
    schedule = _calendar(exchange, first, last).schedule.loc[first.isoformat() : last.isoformat()]
    columns = [schedule[name] for name in ("open", "close", "break_start", "break_end")]
    rows = zip(schedule.index, *columns, strict=True)
    return tuple(Session(day.date(), *map(_time, times)) for day, *times in rows)  # type: ignore[arg-type]


def listed(exchange: str, first: date, last: date) -> pa.Table:
    """Return the sessions and holidays from `first` to `last`, both included, as rows of SCHEMA. Raises as `sessions_of`."""
    sessions = sessions_of(exchange, first, last)
    short = _half_days(exchange, first, last)
    rows: list[dict[str, Any]] = [
        {**day._asdict(), "day": day.date, "kind": "half day" if day.date in short else "full day"} for day in sessions
    ]
    rows += [{"day": day, "kind": "holiday"} for day in _holidays(exchange, first, last)]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by("day")


def zone_of(exchange: str) -> ZoneInfo:
    """Return the time zone of an exchange. Raises RequestError."""
    return ZoneInfo(str(_library(exchange).get_calendar(exchange).tz))


def _half_days(exchange: str, first: date, last: date) -> set[date]:
    """Return the days that open later or close earlier than others."""
    calendar = _calendar(exchange, first, last)
    return {day.date() for day in (*calendar.late_opens, *calendar.early_closes)}


def _holidays(exchange: str, first: date, last: date) -> list[date]:
    """Return the days without a session on which the exchange would otherwise trade."""
    if first > last:
        return []
    import pandas as pd  # noqa: PLC0415 (exchange-calendars needs it)

    calendar = _calendar(exchange, first, last)
    regular = calendar.regular_holidays.holidays(first, last) if calendar.regular_holidays is not None else []
    days = {pd.Timestamp(day).date() for day in (*regular, *calendar.adhoc_holidays)} - {
        day.date() for day in calendar.sessions
    }
    return sorted(day for day in days if first <= day <= last and calendar.weekmask[day.weekday()] == "1")


@lru_cache(16)
def _calendar(exchange: str, first: date, last: date) -> Any:  # noqa: ANN401 (the library has no types)
    """Return the calendar of an exchange, which reaches at least from `first` to `last`."""
    library = _library(exchange)
    try:
        # By default a calendar begins 20 years ago and ends in a year; it must hold at least one session.
        known = library.get_calendar(exchange)
        begin, end = min(known.first_session.date(), first), max(known.last_session.date(), last)
        return library.get_calendar(exchange, start=begin.isoformat(), end=end.isoformat())
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"The calendar of {exchange} does not reach from {first} to {last}: {reason}") from None


def _library(exchange: str) -> Any:  # noqa: ANN401
    try:
        import exchange_calendars  # noqa: PLC0415 (an extra, and it takes a second)
    except ModuleNotFoundError:
        raise RequestError(MISSING.format(exchange)) from None
    if exchange not in exchange_calendars.get_calendar_names():
        raise RequestError(f"{exchange!r} is not an exchange: use a code such as XNYS, XLON, XHKG or CMES.")
    return exchange_calendars


def _time(at: Any) -> datetime | None:  # noqa: ANN401 (pandas' Timestamp or NaT)
    return None if at != at else at.to_pydatetime().astimezone(UTC)  # noqa: PLR0124 (NaT is not equal to itself)
