"""Compare open, high, low and close: the high of a bar is the largest of its prices, the low the smallest."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import Malformed, Reason
from finance_producer.reading.columns import OHLC, printable
from finance_producer.reading.options import UnreadableFileError
from finance_producer.reading.prices import plain_prices

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from pathlib import Path

    from numpy.typing import NDArray

    from finance_producer.reading.options import Options
    from finance_producer.reading.prices import NumberFormat

EXACT = pa.decimal128(18, 8)


def in_order(prices: Sequence[pa.Array]) -> NDArray[np.bool_]:
    """Return where bars are in order: from open, high, low and close as the text of numbers. A missing price is in order."""
    opening, high, low, closing = (price.cast(EXACT) for price in prices)
    pairs = [(low, opening), (low, closing), (opening, high), (closing, high), (low, high)]
    orders = [np.asarray(pc.fill_null(pc.less_equal(lower, upper), fill_value=True)) for lower, upper in pairs]
    return np.asarray(np.logical_and.reduce(orders), bool)


def require_in_order(prices: Sequence[Decimal]) -> None:
    """Raise Malformed if a bar is not in order."""
    opening, high, low, closing = prices
    if high < max(opening, low, closing):
        raise Malformed(Reason.PRICE_RANGE, f"high {high} is not the largest of open {opening}, low {low}, close {closing}")
    if low > min(opening, closing):
        raise Malformed(Reason.PRICE_RANGE, f"low {low} is not the smallest of open {opening}, close {closing}")


def require_columns_in_order(
    file: Path, names: Sequence[str], prices: Sequence[pa.Array], form: NumberFormat, options: Options
) -> None:
    """Raise UnreadableFileError if most of the first bars need another order of the columns, which have these names."""
    text = [plain_prices(_trimmed(price), form) for price in prices]

    def fitting(order: Sequence[int]) -> int:
        return int(in_order([text[place] for place in order]).sum())

    best = max(permutations(range(len(OHLC))), key=fitting)
    if 2 * fitting(range(len(OHLC))) < len(text[0]) and fitting(best) > fitting(range(len(OHLC))):
        given, wanted = (options.spelled("ohlc", printable(",".join(chosen))) for chosen in (names, [names[at] for at in best]))
        raise UnreadableFileError(
            f"{file} has bars whose high is not the largest of their prices, or whose low not the smallest, with {given}:"
            f" the order is open,high,low,close, such as {wanted}."
        )


def _trimmed(price: pa.Array) -> pa.Array:
    return pc.utf8_trim_whitespace(price) if pa.types.is_string(price.type) else price
