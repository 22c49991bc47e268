"""Parse times, time zones, durations and versions from users."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo

from finance_storage.errors import RequestError

VERSION = re.compile(r"[0-9]{1,18}")
Time = datetime | date | str
AsOf = int | str | datetime
Duration = str | timedelta
Zone = str | ZoneInfo

DURATION = re.compile(r"(-?)([0-9]{1,12})(us|ms|s|m|h|d)")
UNITS = {"us": 1, "ms": 1000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
MAX_DURATION = timedelta(days=36_500)


def parse_time(value: Time, name: str = "time", zone: tzinfo = UTC) -> datetime:
    """Parse a datetime, a date (its midnight), or ISO text; in `zone` if it has none. Return UTC. Raises RequestError."""
    if isinstance(value, str):
        value = _parsed(value, name)
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    try:
        return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise RequestError(f"{name}={value.isoformat()} is not a time: in UTC it is not within the years 1 to 9999.") from None


def parse_as_of(as_of: AsOf) -> int | datetime:
    """Parse `as_of`: a version if it is a number, also as text; else a time. Raises RequestError."""
    if isinstance(as_of, bool) or (isinstance(as_of, int) and as_of < 0):
        raise RequestError(f"as_of={as_of!r} is not a version: versions count from 0.")
    if isinstance(as_of, int):
        return as_of
    if isinstance(as_of, str) and VERSION.fullmatch(as_of):
        return int(as_of)
    return parse_time(as_of, "as_of")


def parse_zone(name: Zone) -> ZoneInfo:
    """Return the time zone of a name such as America/New_York. Raises RequestError."""
    if isinstance(name, ZoneInfo):
        return name
    try:
        return ZoneInfo(name)
    except (ValueError, TypeError, OSError, KeyError):
        raise RequestError(f"tz={name!r} is not a time zone: use a name such as UTC or America/New_York.") from None


def parse_duration(value: Duration, name: str, *, negative: bool = False) -> timedelta:
    """Parse a timedelta, or text such as `100ms`, `30s` or `5m`. Raises RequestError naming `name`."""
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match and int(match[2]) * UNITS[match[3]] <= MAX_DURATION / timedelta(microseconds=1):
        microseconds = int(match[2]) * UNITS[match[3]]
        value = timedelta(microseconds=-microseconds if match[1] else microseconds)
    if not isinstance(value, timedelta) or abs(value) > MAX_DURATION or (value < timedelta() and not negative):
        raise RequestError(f"{name}={value!r} is not a duration: use a number and us, ms, s, m, h or d, such as 100ms or 5m.")
    return value


def _parsed(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(
            f"{name}={text!r} is not a time: write it as 2026-11-24T10:31 (UTC) or 2026-11-24T11:31+01:00."
        ) from None
