"""Format values as text that is safe for terminals and spreadsheets, whatever untrusted records contain."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

# Text that a spreadsheet may run as a formula. It begins with a sign, in any width that counts as one, possibly after invisible
# characters; or with a control character, which some spreadsheets drop first. The pattern works in `re` and in Arrow.
SIGNS = "=+@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u207a\u207b\u207c\u208a\u208b\u208c\ufb29-"
CONTROLS = "\x00-\x1f\x7f-\x9f"
INVISIBLE = f"{CONTROLS} \xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
FORMULA = f"\\A(?:[{CONTROLS}]|[{INVISIBLE}]*[{SIGNS}])"
BEGINS_A_FORMULA = re.compile(FORMULA)

# An error handler for streams: a character that the encoding lacks is written as a JSON escape, so that JSON stays valid.
ESCAPE = "finance_lake.escape"


def escape(error: UnicodeError) -> tuple[str, int]:
    """Return the JSON escape of each character that cannot be encoded; two for a character beyond U+FFFF."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


codecs.register_error(ESCAPE, escape)


def plain(value: Any) -> str:  # noqa: ANN401
    """Format a value in one line; unprintable characters, such as control and bidirectional characters, become escapes."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ")) if hasattr(value, "hour") and hasattr(value, "year") else str(value.isoformat())
    return "".join(character if character.isprintable() else _escaped(character) for character in str(value))


def inert(text: str) -> str:
    """Prefix text that a spreadsheet would run as a formula with an apostrophe."""
    return f"'{text}" if BEGINS_A_FORMULA.match(text) else text


def without_guard(text: str) -> str:
    """Return text as it was before `inert`: without an apostrophe that guards a formula. Other text stays as it is."""
    return text[1:] if text.startswith("'") and BEGINS_A_FORMULA.match(text[1:]) else text


def price(value: Decimal) -> str:
    """Format a decimal in plain digits without trailing zeros, but with at least two decimals if its type has any."""
    whole, point, fraction = f"{value:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}" if point else whole


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
