"""Returns: the change from close to close of consecutive bars of a symbol."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_lake.query.floats import nearest_floats
from finance_storage.schemas import PRICE

Floats = np.ndarray[Any, np.dtype[np.float64]]
LARGE = 0.5


def of_bars(bars: pa.Table, *, log: bool) -> pa.Table:
    """Return symbol, ts, close, previous, change and return of bars, which are sorted by symbol, then time."""
    symbol, close = (bars.column(name).combine_chunks() for name in ("symbol", "close"))
    count = len(close)
    # The bar before is another symbol's for the first bar of each.
    first = pa.array([True] * min(count, 1), pa.bool_())
    same = pc.equal(symbol.slice(1), symbol.slice(0, max(0, count - 1)))
    begins = pa.concat_arrays([first, pc.invert(same)]) if count else first
    before = pa.concat_arrays([pa.nulls(min(count, 1), PRICE), close.slice(0, max(0, count - 1))])
    previous = pc.if_else(begins, pa.scalar(None, PRICE), before)
    change = pc.subtract(close, previous).cast(PRICE)
    base = nearest_floats(pa.chunked_array([previous]))
    ratio = nearest_floats(pa.chunked_array([change])) / base
    returns = _logarithms(ratio, nearest_floats(pa.chunked_array([close])) / base) if log else ratio
    return pa.table(
        {
            "symbol": symbol,
            "ts": bars.column("ts"),
            "close": close,
            "previous": previous,
            "change": change,
            "return": pa.array(returns, mask=begins.to_numpy(zero_copy_only=False)),
        }
    )


def _logarithms(ratio: Floats, quotient: Floats) -> Floats:
    """Return log(1 + ratio), which is log(quotient): a small change has its digits in the one, a large one in the other."""
    returns: Floats = np.log1p(ratio, where=np.abs(ratio) < LARGE, out=np.log(quotient))
    return returns
