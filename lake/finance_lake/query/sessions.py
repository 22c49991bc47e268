"""The sessions of exchanges: when they open and close, with half days, holidays and lunch breaks, from exchange-calendars."""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from datetime import date, datetime

MISSING = "session={!r} needs exchange-calendars: `pip install 'financelake[sessions]'`."


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
    schedule = _schedule(exchange, first, last)
    columns = [schedule[name] for name in ("open", "close", "break_start", "break_end")]
    rows = zip(schedule.index, *columns, strict=True)
    return tuple(Session(day.date(), *map(_time, times)) for day, *times in rows)  # type: ignore[arg-type]


def zone_of(exchange: str) -> ZoneInfo:
    """Return the time zone of an exchange. Raises RequestError."""
    return ZoneInfo(str(_library(exchange).get_calendar(exchange).tz))


@lru_cache(16)
def _schedule(exchange: str, first: date, last: date) -> Any:  # noqa: ANN401 (a pandas frame; the library has no types)
    library = _library(exchange)
    try:
        # By default a calendar begins 20 years ago and ends in a year; it must hold at least one session.
        known = library.get_calendar(exchange)
        begin, end = min(known.first_session.date(), first), max(known.last_session.date(), last)
        schedule = library.get_calendar(exchange, start=begin.isoformat(), end=end.isoformat()).schedule
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise RequestError(f"The calendar of {exchange} does not reach from {first} to {last}: {reason}") from None
    return schedule.loc[first.isoformat() : last.isoformat()]


def _library(exchange: str) -> Any:  # noqa: ANN401
    try:
        import exchange_calendars  # noqa: PLC0415 (an extra, and it takes a second)
    except ModuleNotFoundError:
        raise RequestError(MISSING.format(exchange)) from None
    if exchange not in exchange_calendars.get_calendar_names():
        raise RequestError(f"session={exchange!r} is not an exchange: use a code such as XNYS, XLON, XHKG or CMES.")
    return exchange_calendars


def _time(at: Any) -> datetime | None:  # noqa: ANN401 (pandas' Timestamp or NaT)
    return None if at != at else at.to_pydatetime().astimezone(UTC)  # noqa: PLR0124 (NaT is not equal to itself)
