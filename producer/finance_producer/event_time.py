"""The time of an event, from text to nanoseconds since 1970 in UTC, without losing a digit."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

_INTEGER = re.compile(r"-?[0-9]{1,20}")
_ISO = re.compile(
    r"([0-9-]{10})(?:[T ]([0-9:]{5}(?::[0-9]{2}(?:\.(?P<fraction>[0-9]{1,9}))?)?)(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def nanoseconds(text: str) -> int:
    """Read an integer as nanoseconds, and ISO 8601 text as a date (midnight) or a date and time; without a zone it is UTC.

    Raises ValueError for other text, for days and hours that do not exist, and for more than nine decimal places.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    parts = _ISO.fullmatch(text)
    if parts is None:
        raise ValueError(text)
    date, time, fraction, zone = parts.groups()
    moment = datetime.fromisoformat(f"{date}T{time or '00:00'}{zone or 'Z'}")
    return (moment - EPOCH) // SECOND * 10**9 + int((fraction or "").ljust(9, "0"))
