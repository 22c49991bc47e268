"""Moments, as people give them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from finance_storage.errors import RequestError

VERSION = re.compile(r"[0-9]{1,18}")
Time = datetime | date | str
AsOf = int | str | datetime


def parse_time(given: Time, what: str = "time") -> datetime:
    """Read a time: a datetime, a date (its midnight), or ISO text; UTC where it names no zone. Raises RequestError."""
    if isinstance(given, str):
        given = _parsed(given, what)
    if not isinstance(given, datetime):
        given = datetime.combine(given, time())
    try:
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except OverflowError:
        raise RequestError(f"{what}={given.isoformat()} is no time: in UTC it is not within the years 1 to 9999.") from None


def parse_as_of(as_of: AsOf) -> int | datetime:
    """Read `as_of`: a version where it is a number, also as text; else a time. Raises RequestError."""
    if isinstance(as_of, bool) or (isinstance(as_of, int) and as_of < 0):
        raise RequestError(f"as_of={as_of!r} is no version: versions count from 0.")
    if isinstance(as_of, int):
        return as_of
    if isinstance(as_of, str) and VERSION.fullmatch(as_of):
        return int(as_of)
    return parse_time(as_of, "as_of")


def _parsed(text: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise RequestError(
            f"{what}={text!r} is no time: write it as 2026-11-24T10:31 (UTC) or 2026-11-24T11:31+01:00."
        ) from None
