"""The market data of the screenshots: the same each time."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.live_dashboard import SYMBOLS, tick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

BAD = (b'{"symbol": "AAPL", "price": "174.5"}', b'{"symbol": "MSFT"}', b"<img src=x onerror=alert(1)>", b"\xff\xfe")


def trades(end: datetime, minutes: int, seed: int = 7) -> Iterator[list[bytes]]:
    """Yield the records of each minute up to `end`, oldest first."""
    chance = random.Random(seed)  # noqa: S311 (a market, no secret)
    cents = dict(SYMBOLS)
    for minute in range(minutes):
        begin = end - timedelta(minutes=minutes - minute)
        records = []
        for second in sorted(chance.uniform(0, 59) for _ in range(40)):
            symbol = chance.choice(sorted(cents))
            cents[symbol] += round(chance.gauss(0, cents[symbol] / 9000))
            price = f"{cents[symbol] // 100}.{cents[symbol] % 100:02d}"
            records.append(tick(symbol, price, begin + timedelta(seconds=second), chance.randrange(1, 400)))
        if minute % 11 == 4:
            records.append(BAD[minute // 11 % len(BAD)])
        yield records
