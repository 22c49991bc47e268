"""Parse times and versions from users."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from finance_storage.errors import RequestError

VERSION = re.compile(r"[0-9]{1,18}")
Time = datetime | date | str
AsOf = int | str | datetime


def parse_time(value: Time, name: str = "time") -> datetime:
    """Parse a datetime, a date (its midnight), or ISO text; UTC if it has no zone. Raises RequestError naming `name`."""
    if isinstance(value, str):
        value = _parsed(value, name)
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
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


def _parsed(text: str, name: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(
            f"{name}={text!r} is not a time: write it as 2026-11-24T10:31 (UTC) or 2026-11-24T11:31+01:00."
        ) from None
