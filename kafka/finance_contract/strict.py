"""The reference decoder: it defines which records are ticks, and why the others are not.

The value is checked as bytes, then as JSON, then field by field in the order of the contract. `Reason` lists the codes in that
order, and the first that applies is returned. The one exception: between `not_finite` and `not_json`, the leftmost violation in
the value decides.
"""

from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation
from typing import Final

from finance_contract.members import Integer, Real, kind, members, shown
from finance_contract.reason import Malformed, Reason
from finance_contract.tick import COUNTS, EVENT_TIMES_NS, PRICE_DIGITS, PRICE_LIMIT, PRICE_STEP, SOURCE, SYMBOL, Tick

_INT64_CHARACTERS: Final = 20

# A price below the limit has at most 18 digits in steps of 10^-8, so Inexact means a digit lost beyond the eighth place.
_EXACT: Final = Context(prec=PRICE_DIGITS, rounding=ROUND_DOWN, traps=[Inexact, InvalidOperation])


def decode_strictly(value: bytes | bytearray | memoryview | None) -> Tick:
    """Return the tick in a message value, or raise Malformed."""
    fields = members(value)
    return Tick(
        symbol=_symbol(fields.get("symbol")),
        price=_price(fields.get("price")),
        size=_integer(fields.get("size"), COUNTS, Reason.SIZE_TYPE, Reason.SIZE_RANGE),
        ts_event=_integer(fields.get("ts_event"), EVENT_TIMES_NS, Reason.TS_EVENT_TYPE, Reason.TS_EVENT_RANGE),
        seq=_integer(fields.get("seq"), COUNTS, Reason.SEQ_TYPE, Reason.SEQ_RANGE),
        source=_source(fields.get("source")),
    )


def _symbol(value: object) -> str:
    if value is None:
        raise Malformed(Reason.SYMBOL_MISSING, "absent or null")
    if type(value) is not str:
        raise Malformed(Reason.SYMBOL_TYPE, kind(value))
    if not SYMBOL.fullmatch(value):
        raise Malformed(Reason.SYMBOL_INVALID, shown(value))
    return value


def _price(value: object) -> Decimal:
    if value is None:
        raise Malformed(Reason.PRICE_MISSING, "absent or null")
    if not isinstance(value, Integer | Real):
        raise Malformed(Reason.PRICE_TYPE, kind(value))
    price = _number(value)
    if not 0 < price < PRICE_LIMIT:
        raise Malformed(Reason.PRICE_RANGE, shown(value))
    try:
        in_steps = _EXACT.quantize(price, PRICE_STEP)
    except Inexact:
        raise Malformed(Reason.PRICE_DECIMALS, shown(value)) from None
    # Of two equal numbers, max returns the one with fewer decimal places, so only zeros beyond the eighth are removed.
    return _EXACT.max(price, in_steps)


def _number(text: str) -> Decimal:
    mantissa, _, exponent = text.lower().partition("e")
    sign = "-" if exponent.startswith("-") else ""
    # A six-digit exponent outweighs any mantissa that fits in a message, and Decimal refuses much larger ones.
    magnitude = exponent.lstrip("+-0")[:6] or "0"
    return Decimal(f"{mantissa}e{sign}{magnitude}", _EXACT)


def _integer(value: object, allowed: range, wrong_type: Reason, out_of_range: Reason) -> int | None:
    if value is None:
        return None
    if not isinstance(value, Integer):
        raise Malformed(wrong_type, kind(value))
    # Length is checked first, because Python refuses to convert thousands of digits.
    if len(value) > _INT64_CHARACTERS or int(value) not in allowed:
        raise Malformed(out_of_range, shown(value))
    return int(value)


def _source(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise Malformed(Reason.SOURCE_TYPE, kind(value))
    if not SOURCE.fullmatch(value):
        raise Malformed(Reason.SOURCE_INVALID, shown(value))
    return value
