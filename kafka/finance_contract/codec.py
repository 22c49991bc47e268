"""Decode a message value: quickly where it is plainly good, else by the reference decoder, whose verdict is the truth.

The quick way may only accept, and must then give what `strict.decode` gives: a differential test holds it to that.
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
# A topic has few symbols and sources, and msgspec lets no long one through: looking one up beats matching it.
_is_symbol = lru_cache(maxsize=4096)(SYMBOL.fullmatch)
_is_source = lru_cache(maxsize=256)(SOURCE.fullmatch)
# In 18 digits this drops no digit exactly if the price is below 10^10 and written with at most 8 decimal places.
_to_steps = Context(prec=PRICE_DIGITS, rounding=ROUND_DOWN, traps=[InvalidOperation, Rounded]).quantize


def decode(value: bytes | bytearray | memoryview | None) -> Tick:
    """Give the tick that a message value holds; None is a tombstone.

    Raises Malformed, and nothing else, for a value that breaks the contract (kafka/README.md). Only `bytes` go the quick way.
    """
    if type(value) is bytes and len(value) <= MAX_VALUE_BYTES and _BACKSLASH not in value:
        try:
            tick = _read(value)
            if _to_steps(tick.price, PRICE_STEP) > _ZERO and value.count(_QUOTE) == _quotes(tick):
                return tick
        except (ValueError, ArithmeticError, RecursionError):
            pass
    return strict.decode(value)


def _quotes(tick: Tick) -> int:
    """Count the quotes that a plain message of this tick has; -1 if a text in it is not plain.

    Without backslashes a message has two quotes a key and two a text. So a doubled or unknown key, a null or a price in
    quotes always makes more of them, and nothing makes fewer.
    """
    if not _is_symbol(tick.symbol):
        return -1
    quotes = 6 + 2 * ((tick.size is not None) + (tick.ts_event is not None) + (tick.seq is not None))
    if tick.source is None:
        return quotes
    return quotes + 4 if _is_source(tick.source) else -1
