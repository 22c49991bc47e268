"""Encode trades as message values, a block at a time.

The bytes are those of the contract's `encode`, which a test checks: `encode` makes one pattern per symbol, and only numbers are
filled in. A price is formatted from its cents as two integers.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from finance_contract import Tick, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_producer.market import Integers, Trades

_PLACES = {
    b'"price":1.00': b'"price":%d.%02d',
    b'"size":2': b'"size":%d',
    b'"ts_event":3': b'"ts_event":%d',
    b'"seq":4': b'"seq":%d',
}


class TradeEncoder:
    """Encodes the trades of one source."""

    def __init__(self, symbols: Sequence[str], source: str) -> None:
        """Make a pattern for each symbol; a trade's symbol is an index into `symbols`."""
        self._patterns = [_pattern(symbol, source) for symbol in symbols]

    def values(self, trades: Trades, ts_event: Integers, first_seq: int) -> list[bytes]:
        """Return the values of trades at the times `ts_event` (nanoseconds since 1970), numbered from `first_seq`."""
        dollars, cents = np.divmod(trades.cents, 100)
        fields = zip(dollars.tolist(), cents.tolist(), trades.size.tolist(), ts_event.tolist(), count(first_seq), strict=False)
        patterns = self._patterns
        return [patterns[symbol] % numbers for symbol, numbers in zip(trades.symbol.tolist(), fields, strict=True)]


def _pattern(symbol: str, source: str) -> bytes:
    pattern = encode(Tick(symbol, Decimal("1.00"), size=2, ts_event=3, seq=4, source=source)).replace(b"%", b"%%")
    for example, place in _PLACES.items():
        pattern = pattern.replace(example, place, 1)
    return pattern
