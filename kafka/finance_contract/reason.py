"""Why a record is malformed: the stable reason codes, and the error that carries one."""

import re
from enum import StrEnum
from typing import Final

MAX_DETAIL: Final = 200

_UNPRINTABLE: Final = re.compile(r"[^ -~]")


class Reason(StrEnum):
    """One code for each way to break the contract, in the order in which they are checked: the first that applies wins.

    Codes are stored in the quarantine table: they may be added, never renamed or given another meaning.
    """

    TOMBSTONE = "tombstone"  # the record has no value
    TOO_LONG = "too_long"  # the value is longer than 65536 bytes
    EMPTY = "empty"  # the value has no bytes
    INVALID_UTF8 = "invalid_utf8"  # the value is not UTF-8
    TOO_DEEP = "too_deep"  # objects and arrays are nested 65 levels deep, including the outermost
    NOT_FINITE = "not_finite"  # NaN, Infinity or -Infinity in place of a value
    NOT_JSON = "not_json"  # any other violation of RFC 8259
    TRAILING_CONTENT = "trailing_content"  # something other than white space follows the object
    NOT_AN_OBJECT = "not_an_object"  # JSON, but an array, a string, a number, true, false or null
    DUPLICATE_KEY = "duplicate_key"  # a key occurs twice at the top level, known or not, escaped or not
    SYMBOL_MISSING = "symbol_missing"  # absent or null
    SYMBOL_TYPE = "symbol_type"  # not a string
    SYMBOL_INVALID = "symbol_invalid"  # breaks SYMBOL_RULE in tick.py
    PRICE_MISSING = "price_missing"  # absent or null
    PRICE_TYPE = "price_type"  # not a number
    PRICE_RANGE = "price_range"  # not greater than 0, or not less than 10^10
    PRICE_DECIMALS = "price_decimals"  # its value needs more than 8 decimal places
    SIZE_TYPE = "size_type"  # not an integer, or one written with a fraction or an exponent
    SIZE_RANGE = "size_range"  # negative, or over int64
    TS_EVENT_TYPE = "ts_event_type"  # as size_type
    TS_EVENT_RANGE = "ts_event_range"  # before 2000-01-01, or not before 2100-01-01
    SEQ_TYPE = "seq_type"  # as size_type
    SEQ_RANGE = "seq_range"  # negative, or over int64
    SOURCE_TYPE = "source_type"  # not a string
    SOURCE_INVALID = "source_invalid"  # not 1 to 64 printable ASCII characters
    TIMESTAMP_RANGE = "timestamp_range"  # the record's own timestamp, not in its value: before 2000-01-01, or after 2099


class Malformed(ValueError):  # noqa: N818 (a verdict on a record, not a fault of the program)
    """A record that breaks the contract: `reason` is the stable code, `detail` a human-readable hint.

    `detail` is at most 200 characters of printable ASCII, with everything else escaped. It is safe in a log, a terminal or a
    table, whatever the record contains.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        """Store the reason, and the detail escaped and cut to 200 characters."""
        self.reason = reason
        self.detail = _UNPRINTABLE.sub(_escaped, detail[:MAX_DETAIL])[:MAX_DETAIL]
        super().__init__(self.reason, self.detail)

    def __str__(self) -> str:
        """Format both in one line."""
        return f"{self.reason}: {self.detail}"


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode("ascii")
