"""The tick: its fields, their limits, and its encoding on the topic."""

import re
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from msgspec import Meta

CONTRACT_VERSION: Final = 2
TOPIC: Final = "finance"
MAX_VALUE_BYTES: Final = 65_536
MAX_DEPTH: Final = 64

SYMBOL: Final = re.compile(r"[A-Za-z0-9^$@#.](?:[A-Za-z0-9 ._/^=:$@#+&*-]{0,62}[A-Za-z0-9._/^=:$@#+&*-])?")
# What version 1 accepted: a record that only version 2 accepts may be in the quarantine of an older lake.
SYMBOL_VERSION_1: Final = re.compile(r"[A-Z0-9][A-Z0-9._/^=-]{0,23}")
SYMBOL_RULE: Final = (
    "1 to 64 of A-Z a-z 0-9 . - _ / ^ = : $ @ # + & * and space, not ending in a space, "
    "beginning with a letter, a digit or one of ^ $ @ # ."
)
SOURCE: Final = re.compile(r"[ -~]{1,64}")
PRICE_DIGITS: Final = 18
PRICE_LIMIT: Final = Decimal(10**10)
PRICE_STEP: Final = Decimal("0.00000001")
COUNTS: Final = range(2**63)
EVENT_TIMES_NS: Final = range(946_684_800_000_000_000, 4_102_444_800_000_000_000)

Count = Annotated[int, Meta(ge=COUNTS[0], le=COUNTS[-1])]
EventTime = Annotated[int, Meta(ge=EVENT_TIMES_NS[0], le=EVENT_TIMES_NS[-1])]


class Tick(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One price of one symbol; an optional field that is absent in the message is None.

    A tick returned by `decode` obeys the contract (kafka/README.md). A tick made in code is not validated;
    `decode(encode(tick))` validates it.
    """

    symbol: Annotated[str, Meta(max_length=64)]
    price: Decimal
    size: Count | None = None
    ts_event: EventTime | None = None
    seq: Count | None = None
    source: Annotated[str, Meta(max_length=64)] | None = None


_write = msgspec.json.Encoder(decimal_format="number").encode


def encode(tick: Tick) -> bytes:
    """Encode a tick as a message value: compact JSON, fields in order, absent ones left out, the price exact.

    Raises ValueError for a price that is NaN or infinite: JSON has no such number.
    """
    if not tick.price.is_finite():
        raise ValueError(f"{tick.price} is not a price")
    value = _write(tick)
    number = str(tick.price)
    return _plainly(value, number, tick.price) if "E" in number else value


def _plainly(value: bytes, number: str, price: Decimal) -> bytes:
    # The first `"price":` is the key itself, because a quote inside the symbol before it is escaped as \".
    return value.replace(f'"price":{number}'.encode(), f'"price":{price:f}'.encode(), 1)


def key(symbol: str) -> bytes:
    """Return the message key. It only selects the partition, so that the ticks of one symbol stay in order."""
    return symbol.encode()
