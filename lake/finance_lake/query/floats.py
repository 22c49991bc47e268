"""Decimals as float64, each the nearest one to its decimal, as Python's `float(decimal)` is.

A decimal is an integer divided by a power of ten. Both are exact as float64 if the integer is below 2^53 and the power at most
10^22, and then IEEE division rounds once, so the result is the nearest float. A price of 8 decimals stays below that up to
90,071,992.54; larger ones are converted one by one.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

MAX_EXACT = 2**53
MAX_SCALE = 22


def nearest_floats(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of decimals as float64; null is NaN."""
    out = np.empty(len(column))
    begin = 0
    for chunk in column.chunks:
        _fill(out[begin : begin + len(chunk)], chunk)
        begin += len(chunk)
    return out


def _fill(out: np.ndarray, chunk: pa.Array) -> None:
    kind = chunk.type
    if not pa.types.is_decimal128(kind) or not 0 <= kind.scale <= MAX_SCALE:
        out[:] = [np.nan if value is None else float(value) for value in chunk.to_pylist()]
        return
    # 128 bits in two's complement, the low half first.
    halves = np.frombuffer(chunk.buffers()[1] or b"", "<i8")[2 * chunk.offset : 2 * (chunk.offset + len(chunk))]
    low, high = halves[::2], halves[1::2]
    np.divide(low, 10.0**kind.scale, out=out)
    exact = (high == low >> 63) & (low < MAX_EXACT) & (low > -MAX_EXACT)
    if chunk.null_count:
        missing = chunk.is_null().to_numpy(zero_copy_only=False)
        out[missing] = np.nan
        exact |= missing
    for place in np.flatnonzero(~exact):
        out[place] = float(chunk[int(place)].as_py())
