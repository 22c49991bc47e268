"""Choose the size of the first chart's bars by the time that the data spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

AUTO = "auto"
SIZES = {"1s": 1, "10s": 10, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "1d": 86_400}
# Less than an hour's 60, so that an hour of ticks has 1m bars although its first and last minutes are incomplete.
FULL_BARS = 48
# A few ticks that are very late must not stretch the span.
LEFT_OUT = 0.02


def fitting(minutes: pa.ChunkedArray) -> str:
    """Return the largest size of which the span holds at least FULL_BARS bars; the smallest if none does.

    `minutes` are the times, ascending, at which a symbol's 1-minute bars begin. The span leaves out the oldest 2 % of them.
    """
    if not len(minutes):
        return "1m"
    seconds = minutes.cast(pa.timestamp("s", "UTC")).cast(pa.int64())
    return _largest(seconds[-1].as_py() - seconds[int(len(minutes) * LEFT_OUT)].as_py() + SIZES["1m"])


def fitting_files(files: Iterable[tuple[datetime | None, datetime | None, int]]) -> str:
    """Return the same for more ticks than can be looked at: `files` are the first and last event time and the rows of each.

    The span leaves out the oldest files that together have at most 2 % of the rows.
    """
    known = sorted((first, last, rows) for first, last, rows in files if first and last)
    if not known:
        return "1m"
    total, left_out = sum(rows for _, _, rows in known), 0
    begin = known[0][0]
    for first, _, rows in known:
        begin = first
        left_out += rows
        if left_out > LEFT_OUT * total:
            break
    return _largest((max(last for _, last, _ in known) - begin).total_seconds())


def _largest(span: float) -> str:
    return max((size for size, step in SIZES.items() if span >= FULL_BARS * step), key=SIZES.__getitem__, default="1s")
