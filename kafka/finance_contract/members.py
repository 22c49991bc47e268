"""Parse a value as one JSON object, strictly and exactly: the first part of the reference decoder."""

import re
from collections import Counter
from itertools import accumulate
from json import JSONDecodeError, JSONDecoder
from typing import Final, NoReturn

from finance_contract.reason import Malformed, Reason
from finance_contract.tick import MAX_DEPTH, MAX_VALUE_BYTES

_SPACE: Final = " \t\n\r"
_NOT_BRACKETS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[^]["{}]++', re.DOTALL)
_STEPS: Final = {"{": 1, "[": 1, "}": -1, "]": -1}
_SHOWN: Final = 40


class Integer(str):
    """The text of a JSON number with neither fraction nor exponent."""

    __slots__ = ()


class Real(str):
    """The text of any other JSON number."""

    __slots__ = ()


def too_long(length: int) -> Malformed:
    """Return the error for a value of `length` bytes, for callers that have truncated it."""
    return Malformed(Reason.TOO_LONG, f"{length} bytes")


def members(value: bytes | bytearray | memoryview | None) -> dict[str, object]:
    """Return the members of the JSON object in a value. Numbers stay text, as Integer or Real; nested objects become tuples.

    Raises Malformed for the first violation that concerns the value as a whole.
    """
    return _members(_parsed(_text(value)))


def _text(value: bytes | bytearray | memoryview | None) -> str:
    if value is None:
        raise Malformed(Reason.TOMBSTONE, "the record has no value")
    if len(value) > MAX_VALUE_BYTES:
        raise too_long(len(value))
    if len(value) == 0:
        raise Malformed(Reason.EMPTY, "the value has no bytes")
    try:
        return str(value, "utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(Reason.INVALID_UTF8, f"{error.reason} at byte {error.start}") from None


def _parsed(text: str) -> object:
    # Depth is checked first, because the parser of the standard library recurses.
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(text) > MAX_DEPTH:
        raise Malformed(Reason.TOO_DEEP, f"more than {MAX_DEPTH} levels")
    body = text.strip(_SPACE)
    try:
        parsed, end = _JSON.raw_decode(body)
    except JSONDecodeError as error:
        raise Malformed(Reason.NOT_JSON, f"{error.msg}: {shown(error.doc[error.pos :])}") from None
    if end != len(body):
        # A scalar prefix, such as 0 in 01 or 2026 in a date, does not count as a value with trailing content.
        reason = Reason.TRAILING_CONTENT if isinstance(parsed, tuple) else Reason.NOT_JSON
        raise Malformed(reason, f"after {kind(parsed)}: {shown(body[end:].lstrip(_SPACE))}")
    return parsed


def _depth(text: str) -> int:
    return max(accumulate(map(_STEPS.__getitem__, _NOT_BRACKETS.sub("", text))), default=0)


def _not_finite(constant: str) -> NoReturn:
    raise Malformed(Reason.NOT_FINITE, constant)


# Numbers stay text, because only the text has their exact value. An object becomes a tuple of its members.
_JSON: Final = JSONDecoder(
    object_pairs_hook=tuple, parse_int=Integer, parse_float=Real, parse_constant=_not_finite, strict=True
)


def _members(parsed: object) -> dict[str, object]:
    if not isinstance(parsed, tuple):
        raise Malformed(Reason.NOT_AN_OBJECT, kind(parsed))
    named: dict[str, object] = dict(parsed)
    if len(named) != len(parsed):
        duplicate = Counter(name for name, _ in parsed).most_common(1)[0][0]
        raise Malformed(Reason.DUPLICATE_KEY, shown(duplicate))
    return named


_KINDS: Final = {
    Integer: "an integer",
    Real: "a number with a fraction or an exponent",
    bool: "true or false",
    list: "an array",
    str: "a string",
    tuple: "an object",
}


def kind(value: object) -> str:
    """Return the JSON type of a member, for a detail."""
    return _KINDS.get(type(value), "null")


def shown(text: str) -> str:
    """Return the beginning of a text in quotes, for a detail."""
    return repr(text[:_SHOWN])
