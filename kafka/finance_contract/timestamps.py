"""The timestamp that Kafka has of a record: when the broker took it in, or whatever a client said where the topic lets it."""

from typing import Final

from finance_contract.reason import Malformed, Reason
from finance_contract.tick import EVENT_TIMES_NS

_MS_NS: Final = 1_000_000
# Milliseconds since the Unix epoch: the years of `ts_event`. Seconds and microseconds, taken for milliseconds, are outside.
TIMESTAMPS_MS: Final = range(EVENT_TIMES_NS[0] // _MS_NS, EVENT_TIMES_NS[-1] // _MS_NS + 1)
# Engines that count microseconds cannot say exactly what is later.
_FAR_MS: Final = 9 * 10**15


def bad_timestamp(milliseconds: int) -> Malformed:
    """Give the verdict on a record whose timestamp is not in TIMESTAMPS_MS."""
    told = f"{milliseconds} ms since 1970" if 0 <= milliseconds < _FAR_MS else "before 1970, or none"
    return Malformed(Reason.TIMESTAMP_RANGE, "later than any calendar" if milliseconds >= _FAR_MS else told)
