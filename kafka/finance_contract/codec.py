"""Decode a message value: by a fast path if it is clearly valid, else by the reference decoder, which has the final say.

The fast path may only accept values, and must then return what `decode_strictly` returns. A differential test checks this.
"""

from decimal import ROUND_DOWN, Context, Decimal, InvalidOperation, Rounded
from functools import lru_cache
from typing import Final

import msgspec

from finance_contract import strict
from finance_contract.tick import MAX_VALUE_BYTES, PRICE_DIGITS, PRICE_STEP, SOURCE, SYMBOL, Tick

_BACKSLASH: Final = ord("\\")
_QUOTE: Final = b'"'
_ZERO: Final = Decimal(0)

_read = msgspec.json.Decoder(Tick).decode
# A topic has few symbols and sources, and msgspec limits their length, so a cache lookup is faster than matching.
_is_symbol = lru_cache(maxsize=4096)(SYMBOL.fullmatch)
_is_source = lru_cache(maxsize=256)(SOURCE.fullmatch)
# With 18 digits this is exact if and only if the price is below 10^10 and has at most 8 decimal places.
_to_steps = Context(prec=PRICE_DIGITS, rounding=ROUND_DOWN, traps=[InvalidOperation, Rounded]).quantize


def decode(value: bytes | bytearray | memoryview | None) -> Tick:
    """Return the tick in a message value; None is a tombstone.

    Raises Malformed, and nothing else, for a value that breaks the contract (kafka/README.md). Only `bytes` use the fast path.
    """
    if type(value) is bytes and len(value) <= MAX_VALUE_BYTES and _BACKSLASH not in value:
        try:
            tick = _read(value)
            if _to_steps(tick.price, PRICE_STEP) > _ZERO and value.count(_QUOTE) == _quotes(tick):
                return tick
        except (ValueError, ArithmeticError, RecursionError):
            pass
    return strict.decode_strictly(value)


def _quotes(tick: Tick) -> int:
    """Return the number of quotes in a plain message of this tick; -1 if its symbol or source is not valid.

    Without backslashes a message has two quotes per key and two per string. So a duplicate or unknown key, a null or a price in
    quotes always adds quotes, and nothing removes any.
    """
    if not _is_symbol(tick.symbol):
        return -1
    quotes = 6 + 2 * ((tick.size is not None) + (tick.ts_event is not None) + (tick.seq is not None))
    if tick.source is None:
        return quotes
    return quotes + 4 if _is_source(tick.source) else -1
