"""Times as nanoseconds since 1970 in UTC, without losing a digit: each notation, one text at a time.

`fast_times` reads whole columns of the usual notations; what it does not accept comes here.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from finance_producer.reading.options import UnreadableFileError

if TYPE_CHECKING:
    from finance_producer.reading.options import DateOrder, TimeUnit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = date(1970, 1, 1).toordinal()
SECOND_NS = 10**9
DAY_NS = 86_400 * SECOND_NS
NANOSECONDS: dict[TimeUnit, int] = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}

INTEGER = re.compile(r"-?[0-9]{1,60}")
NUMBER = re.compile(r"(-?[0-9]{1,60})\.([0-9]{1,60})")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DATE = r"(?P<date>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{8}|\d{1,2}[- ][A-Za-z]{3}[- ]\d{4})"
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?(?: ?(?P<half>[AaPp][Mm]))?"
ZONE = r"(?P<zone> ?(?:Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?))?"
TIME = re.compile(rf"{DATE}(?:[T ]{CLOCK}{ZONE})?", re.ASCII)


class TimeFormat(NamedTuple):
    """How times are written: the unit of numbers, the order of dates, the zone where none is named, and if it is assumed."""

    unit: TimeUnit = "ns"
    order: DateOrder = "ymd"
    zone: str = "UTC"
    is_assumed: bool = False


class Parts(NamedTuple):
    """A time as it is written: day and time of day in nanoseconds, and its zone's offset in seconds (None: it names none)."""

    day: date
    clock_ns: int
    offset: int | None
    has_clock: bool


def nanoseconds(text: str, form: TimeFormat = TimeFormat()) -> int:  # noqa: B008 (it is immutable)
    """Parse a time.

    A number counts the format's unit since 1970. Text is a date (midnight) or a date and time, in the format's zone if it names
    none. Raises ValueError for other text, for days and hours that do not exist or exist twice, and for what is finer than a
    nanosecond.
    """
    if (number := in_unit(text, form.unit)) is not None:
        return number
    parts = parsed(text, form.order)
    local = (parts.day.toordinal() - EPOCH_DAY) * DAY_NS + parts.clock_ns
    return local - parts.offset * SECOND_NS if parts.offset is not None else from_zone(local, form.zone)


def in_unit(text: str, unit: TimeUnit) -> int | None:
    """Return a number of units in nanoseconds; None if the text is no number (eight digits are a date)."""
    if INTEGER.fullmatch(text):
        return None if is_compact_date(text) else int(text) * NANOSECONDS[unit]
    if not NUMBER.fullmatch(text):
        return None
    exact = Decimal(text) * NANOSECONDS[unit] if len(text) < 28 else None  # noqa: PLR2004 (decimal's precision)
    if exact is None or exact != exact.to_integral_value():
        raise ValueError(text)
    return int(exact)


def is_compact_date(text: str) -> bool:
    """Whether an integer is a date such as 20240105, which in no unit is a time that the contract accepts."""
    return len(text) == 8 and "19000101" <= text <= "21001231" and "01" <= text[4:6] <= "12" and "01" <= text[6:] <= "31"  # noqa: PLR2004


def parsed(text: str, order: DateOrder) -> Parts:
    """Take a text apart. Raises ValueError."""
    match = TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day = day_of(match["date"], order)
    if match["hour"] is None:
        return Parts(day, 0, None, has_clock=False)
    return Parts(day, _clock_ns(match), _offset(match["zone"]), has_clock=True)


def day_of(text: str, order: DateOrder) -> date:
    """Parse a date; one that begins with its year is always year, month, day. Raises ValueError."""
    if len(text) == 8 and text.isdigit():  # noqa: PLR2004 (20240105)
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    first, second, third = re.split(r"[-/. ]", text)
    if second.isalpha():
        return date(int(third), MONTHS.index(second.lower()) + 1, int(first))
    if len(first) == 4:  # noqa: PLR2004 (a year)
        if len(second) != 2 or len(third) != 2:  # noqa: PLR2004
            raise ValueError(text)
        return date(int(first), int(second), int(third))
    if order == "ymd" or len(third) != 4:  # noqa: PLR2004 (a year of two digits says no century)
        raise ValueError(text)
    month, day = (first, second) if order == "mdy" else (second, first)
    return date(int(third), int(month), int(day))


def _clock_ns(match: re.Match[str]) -> int:
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    if match["half"]:
        if not 1 <= hour <= 12:  # noqa: PLR2004
            raise ValueError(match[0])
        hour = hour % 12 + 12 * (match["half"].lower() == "pm")
    if hour > 23 or minute > 59 or second > 59:  # noqa: PLR2004
        raise ValueError(match[0])
    return (hour * 3600 + minute * 60 + second) * SECOND_NS + int((match["fraction"] or "").ljust(9, "0"))


def _offset(zone: str | None) -> int | None:
    if zone is None:
        return None
    zone = zone.strip()
    if zone in {"Z", "UTC", "GMT"}:
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0  # noqa: PLR2004
    if hours > 23 or minutes > 59:  # noqa: PLR2004
        raise ValueError(zone)
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


# ---- zones --------------------------------------------------------------------------------------------------------------


@lru_cache
def zone_of(name: str) -> ZoneInfo:
    """Return a zone. Raises UnreadableFileError if there is none of this name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        pass
    raise UnreadableFileError(f"{name!r} is no time zone that this machine knows: use one such as America/New_York or UTC.")


def from_zone(local_ns: int, zone: str) -> int:
    """Return a local time in UTC. Raises ValueError if clocks skip it or show it twice."""
    if zone == "UTC":
        return local_ns
    seconds, rest = divmod(local_ns, SECOND_NS)
    offsets = offsets_at(seconds, zone)
    if len(offsets) != 1:
        what = "is shown twice by clocks" if offsets else "is skipped by clocks"
        raise ValueError(f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} {what} in {zone}")
    return (seconds - offsets.pop()) * SECOND_NS + rest


def offsets_at(local_seconds: int, zone: str) -> set[int]:
    """Return the offsets, in seconds, that a local time may have: none or two where clocks are changed."""
    try:
        local = (EPOCH + timedelta(seconds=local_seconds)).replace(tzinfo=zone_of(zone))
        moments = [local.replace(fold=fold) for fold in (0, 1)]
        return {
            int(offset.total_seconds())
            for moment in moments
            if (offset := moment.utcoffset()) is not None
            and moment.astimezone(UTC).astimezone(zone_of(zone)).replace(tzinfo=None) == local.replace(tzinfo=None)
        }
    except OverflowError:
        raise ValueError(f"{local_seconds} s is no time") from None
