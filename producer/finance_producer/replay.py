"""Replay a user's rows as ticks: rows that the contract accepts are sent digit for digit, others are reported and left out."""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from finance_contract import Malformed, Reason, Tick, decode, encode, key
from finance_producer.feed import Ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_producer.rows import Row

AHEAD = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

_NUMBER = re.compile(r"-?[0-9]{1,60}(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,2})?")
_INTEGER = re.compile(r"-?[0-9]{1,60}")
_NANOS = re.compile(r"[0-9]{1,3}")
_ISO = re.compile(
    r"([0-9-]{10})(?:[T ]([0-9:]{5}(?::[0-9]{2}(?:\.(?P<fraction>[0-9]{1,9}))?)?)(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


class Ready(NamedTuple):
    """A tick that waits to be published: message key and value, and its `ts_event` in nanoseconds."""

    key: bytes
    value: bytes
    ts_event: int | None


class Replay:
    """A feed of the good rows in the order of the file, numbered without gaps."""

    def __init__(self, rows: Iterator[Row], source: str, reject: Callable[[int, str], None]) -> None:
        """Read the first rows; `reject` is called with line and reason of each bad row.

        Raises what `rows` raises, as do `ahead` and `take`.
        """
        self._rows = rows
        self._source = source
        self._reject = reject
        self._read = 0
        self.undated = 0
        self._exhausted = False
        self._ahead: deque[Ready] = deque()
        self.ahead()

    @property
    def ended(self) -> bool:
        """Whether all rows have been taken."""
        return self._exhausted and not self._ahead

    def ahead(self) -> Sequence[Ready]:
        """Return the next ticks, at most `AHEAD`, without taking them. After bad rows there may be none before `ended`."""
        missing = AHEAD - len(self._ahead)
        rows = list(islice(self._rows, missing))
        self._exhausted = len(rows) < missing
        for row in rows:
            self._add(row)
        return self._ahead

    def take(self, count: int) -> Ticks:
        """Take and return the next `count` ticks, or as many as are ahead."""
        available = len(self.ahead())
        taken = [self._ahead.popleft() for _ in range(min(count, available))]
        self.undated += sum(tick.ts_event is None for tick in taken)
        return Ticks(self._read - available, [ready.key for ready in taken], [ready.value for ready in taken])

    def _add(self, row: Row) -> None:
        try:
            self._ahead.append(ready(row, self._read, self._source))
            self._read += 1
        except Malformed as malformed:
            self._reject(row.line, str(malformed))


def ready(row: Row, seq: int, source: str) -> Ready:
    """Convert a row to a tick. Raises Malformed with the contract's reason if it is not a valid one."""
    if row.fault:
        raise Malformed(Reason.NOT_AN_OBJECT, row.fault)
    if row.symbol is None:
        raise Malformed(Reason.SYMBOL_MISSING, "empty")
    tick = Tick(row.symbol, _price(row.price), _size(row.size), _ts_event(row.ts_event, row.ts_event_nanos), seq, source)
    value = encode(tick)
    # Check the tick with the decoder that the job uses.
    decode(value)
    return Ready(key(tick.symbol), value, tick.ts_event)


def _price(text: str | None) -> Decimal:
    if text is None:
        raise Malformed(Reason.PRICE_MISSING, "empty")
    if not _NUMBER.fullmatch(text):
        raise Malformed(Reason.PRICE_TYPE, text)
    return Decimal(text)


def _size(text: str | None) -> int | None:
    if text is None:
        return None
    if not _INTEGER.fullmatch(text):
        raise Malformed(Reason.SIZE_TYPE, text)
    return int(text)


def _ts_event(text: str | None, nanos: str | None) -> int | None:
    if text is None:
        if nanos is not None:
            raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event_nanos {nanos} without a ts_event")
        return None
    try:
        time_ns = nanoseconds(text)
    except ValueError:
        raise Malformed(Reason.TS_EVENT_TYPE, text) from None
    return time_ns if nanos is None else _with_nanos(time_ns, nanos)


def _with_nanos(time_ns: int, nanos: str) -> int:
    """Add the nanoseconds beyond a time in microseconds, which the lake stores and exports separately."""
    if not _NANOS.fullmatch(nanos):
        raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event_nanos {nanos} is not from 0 to 999")
    rest = time_ns % 1000
    if rest not in {0, int(nanos)}:
        raise Malformed(Reason.TS_EVENT_TYPE, f"ts_event ends with {rest} nanoseconds, ts_event_nanos says {nanos}")
    return time_ns - rest + int(nanos)


def nanoseconds(text: str) -> int:
    """Parse a time as nanoseconds since 1970 in UTC, without losing a digit.

    An integer is nanoseconds. ISO 8601 text is a date (midnight) or a date and time, in UTC if it names no zone.

    Raises ValueError for other text, for days and hours that do not exist, and for more than nine decimal places.
    """
    if _INTEGER.fullmatch(text):
        return int(text)
    parts = _ISO.fullmatch(text)
    if parts is None:
        raise ValueError(text)
    date, time, fraction, zone = parts.groups()
    parsed = datetime.fromisoformat(f"{date}T{time or '00:00'}{zone or 'Z'}")
    return (parsed - EPOCH) // SECOND * 10**9 + int((fraction or "").ljust(9, "0"))
