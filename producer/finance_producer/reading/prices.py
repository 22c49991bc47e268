"""Prices and sizes: text to exact decimals, never through a float; each value by `of_text`, whole columns by `plain`."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from finance_contract import Malformed, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DIGITS = 60
EXACT = Context(prec=4 * MAX_DIGITS)
_NUMBER = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}(?:\.[0-9]{{1,{MAX_DIGITS}}})?(?:[eE][+-]?[0-9]{{1,2}})?")
_INTEGER = re.compile(rf"-?[0-9]{{1,{MAX_DIGITS}}}")
# Prices that the contract accepts and JSON writes in the same way.
_BELOW_ONE = "|".join(f"{'0' * zeros}[1-9][0-9]{{0,{7 - zeros}}}" for zeros in range(8))
ACCEPTED_PRICE = rf"^(?:[1-9][0-9]{{0,9}}(?:\.[0-9]{{1,8}})?|0\.(?:{_BELOW_ONE}))$"
ACCEPTED_SIZE = r"^(?:0|[1-9][0-9]{0,17})$"
WHOLE_FLOATS = 2.0**53


class NumberFormat(NamedTuple):
    """How numbers are written: the decimal mark, what they are multiplied by, and how many decimals are kept (None: all)."""

    mark: str = "."
    scale: Decimal = Decimal(1)
    decimals: int | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the text of a number is the number itself."""
        return self.mark == "." and self.scale == 1 and self.decimals is None


def price_of_text(text: str | None, form: NumberFormat) -> Decimal:
    """Return a price. Raises Malformed with the contract's reason."""
    if text is None:
        raise Malformed(Reason.PRICE_MISSING, "empty")
    plain = unmarked(text, form.mark)
    if plain is None or not _NUMBER.fullmatch(plain):
        raise Malformed(Reason.PRICE_TYPE, text)
    return scaled(Decimal(plain), form)


def scaled(price: Decimal, form: NumberFormat) -> Decimal:
    """Multiply and round a price as its format says; neither changes a digit beyond that."""
    if form.scale != 1:
        price = EXACT.multiply(price, form.scale).normalize(EXACT)
    if form.decimals is not None and -int(price.as_tuple().exponent) > form.decimals:
        price = price.quantize(Decimal(1).scaleb(-form.decimals), ROUND_HALF_EVEN, EXACT)
    return price


def size_of_text(text: str | None, form: NumberFormat) -> int | None:
    """Return a size. Raises Malformed: one with a fraction is only a size if the scale makes it whole."""
    if text is None:
        return None
    plain = unmarked(text, form.mark)
    if plain is not None and _INTEGER.fullmatch(plain) and form.scale == 1:
        return int(plain)
    if plain is None or not _NUMBER.fullmatch(plain):
        raise Malformed(Reason.SIZE_TYPE, text)
    size = EXACT.multiply(Decimal(plain), form.scale)
    # 100.0 is a whole number, as data frames write it.
    if size != size.to_integral_value() or "e" in plain.lower():
        raise Malformed(Reason.SIZE_TYPE, text)
    return int(size)


def unmarked(text: str, mark: str) -> str | None:
    """Return a number with a decimal point and without separators of thousands; None if they are not where they belong."""
    separator = "," if mark == "." else "."
    if mark not in text and separator not in text:
        return text
    whole, point, fraction = text.partition(mark)
    if separator in whole:
        first, *groups = whole.lstrip("-").split(separator)
        if not 1 <= len(first) <= 3 or any(len(group) != 3 for group in groups):  # noqa: PLR2004 (thousands)
            return None
        whole = whole.replace(separator, "")
    return f"{whole}.{fraction}" if point else whole


# ---- whole columns ------------------------------------------------------------------------------------------------------


def plain_prices(column: pa.Array, form: NumberFormat) -> pa.Array:
    """Return prices as the text of JSON numbers; null where a price has to be looked at by itself."""
    kind = column.type
    if pa.types.is_floating(kind):
        return _of_floats(column, form)
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return _of_decimals(column, form)
    text = column.cast(pa.string())
    if form.scale != 1:
        return _of_integers_as_text(text, form)
    if form.mark == ",":
        text = pc.if_else(pc.match_substring(text, "."), pa.scalar(None, pa.string()), pc.replace_substring(text, ",", "."))
    text = only(text, ACCEPTED_PRICE)
    return text if form.decimals is None else only(text, _at_most(form.decimals))


def plain_sizes(column: pa.Array, form: NumberFormat) -> pa.Array:
    """Return sizes as the text of JSON numbers; null where a size is absent or has to be looked at by itself."""
    if pa.types.is_floating(column.type):
        values = column.cast(pa.float64())
        whole = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), WHOLE_FLOATS))
        column = pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(pa.int64())
    text = column.cast(pa.string())
    return only(text, ACCEPTED_SIZE) if form.scale == 1 else pa.nulls(len(text), pa.string())


def only(text: pa.Array, pattern: str) -> pa.Array:
    """Return text that matches, null for other text."""
    matches = pc.match_substring_regex(text, pattern)
    return text if text.null_count == 0 and pc.all(matches).as_py() else pc.if_else(matches, text, pa.scalar(None, pa.string()))


def _at_most(decimals: int) -> str:
    return r"^[0-9]+$" if decimals == 0 else rf"^[0-9]+(?:\.[0-9]{{1,{decimals}}})?$"


def _of_integers_as_text(text: pa.Array, form: NumberFormat) -> pa.Array:
    whole = only(text, r"^[1-9][0-9]{0,17}$")
    return _of_decimals(whole.cast(pa.int64()), form)


def _of_decimals(column: pa.Array, form: NumberFormat) -> pa.Array:
    """Multiply by a power of ten by moving the decimal point; other scales are left to `price_of_text`."""
    places = _power_of_ten(form.scale)
    if places is None or (pa.types.is_decimal(column.type) and (places or column.type.scale > 8)):  # noqa: PLR2004
        return pa.nulls(len(column), pa.string())
    if pa.types.is_integer(column.type):
        if not pa.types.is_int64(column.type):
            column = column.cast(pa.int64(), safe=False) if column.type != pa.uint64() else pa.nulls(len(column), pa.int64())
        text = column.cast(pa.string())
        text = only(text, r"^[1-9][0-9]{0,17}$")
        text = _point_moved(text, places) if places else text
    else:
        text = column.cast(pa.string())
    text = only(_without_zeros(text), ACCEPTED_PRICE)
    return text if form.decimals is None else only(text, _at_most(form.decimals))


def _point_moved(text: pa.Array, places: int) -> pa.Array:
    """Put a decimal point `places` digits from the right of digits."""
    padded = pc.utf8_lpad(text, places + 1, "0")
    return pc.binary_join_element_wise(
        pc.utf8_slice_codeunits(padded, 0, -places), pc.utf8_slice_codeunits(padded, -places, None), "."
    )


def _without_zeros(text: pa.Array) -> pa.Array:
    """Remove zeros at the end of a fraction."""
    has_fraction = pc.match_substring(text, ".")
    return pc.if_else(has_fraction, pc.utf8_rtrim(pc.utf8_rtrim(text, "0"), "."), text)


def _power_of_ten(scale: Decimal) -> int | None:
    """Return n for 10^-n, up to 18; None for another scale."""
    sign, digits, exponent = scale.normalize().as_tuple()
    is_power = not sign and digits == (1,) and isinstance(exponent, int) and -18 <= exponent <= 0  # noqa: PLR2004
    return -int(exponent) if is_power else None


def _of_floats(column: pa.Array, form: NumberFormat) -> pa.Array:
    """Round to the decimals that mean something; what lies about half-way between two is left to `price_of_float`."""
    decimals = form.decimals or 0
    values = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore", over="ignore"):
        steps = values * 10.0**decimals
        whole = np.rint(steps)
        sure = (np.abs(steps - whole) < 0.499) & (whole > 0) & (whole < WHOLE_FLOATS)  # noqa: PLR2004
    units = pa.array(np.where(sure, whole, 0).astype(np.int64), mask=~sure)
    text = units.cast(pa.string())
    return only(_without_zeros(_point_moved(text, decimals)) if decimals else text, ACCEPTED_PRICE)


def price_of_float(value: float, form: NumberFormat) -> Decimal:
    """Return the decimal nearest to a binary number's exact value. Raises Malformed."""
    if value != value:  # noqa: PLR0124 (NaN means that a data frame has no value)
        raise Malformed(Reason.PRICE_MISSING, "NaN")
    if value in {float("inf"), float("-inf")}:
        raise Malformed(Reason.PRICE_RANGE, str(value))
    exact = Decimal(value).quantize(Decimal(1).scaleb(-(form.decimals or 0)), ROUND_HALF_EVEN, Context(prec=400))
    return scaled(exact.normalize(EXACT), form)


def texts(values: Iterable[object]) -> list[str]:
    """Return the values that are not null, as stripped text that is not empty."""
    return [text for value in values if value is not None and (text := str(value).strip())]
