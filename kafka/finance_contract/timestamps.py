"""A record's Kafka timestamp: the time of arrival at the broker, or the client's time if the topic allows it."""

from typing import Final

from finance_contract.reason import Malformed, Reason
from finance_contract.tick import EVENT_TIMES_NS

_MS_NS: Final = 1_000_000
# Milliseconds since the Unix epoch, for the same years as `ts_event`. Values in seconds or microseconds fall outside.
TIMESTAMPS_MS: Final = range(EVENT_TIMES_NS[0] // _MS_NS, EVENT_TIMES_NS[-1] // _MS_NS + 1)
# Engines that count microseconds cannot represent later times exactly.
_FAR_MS: Final = 9 * 10**15


def bad_timestamp(milliseconds: int) -> Malformed:
    """Return the error for a record whose timestamp is not in TIMESTAMPS_MS."""
    detail = f"{milliseconds} ms since 1970" if 0 <= milliseconds < _FAR_MS else "before 1970, or none"
    return Malformed(Reason.TIMESTAMP_RANGE, "later than any calendar" if milliseconds >= _FAR_MS else detail)
