"""Values as text: nothing of what came from a record or from outside is obeyed by a terminal or a spreadsheet."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

# What a spreadsheet takes for a formula: a sign at the beginning, in any of the widths that it reads as one, also behind
# characters that nobody sees; and a control character, which some drop before they look. Understood by `re` and by Arrow.
SIGNS = "=+@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u207a\u207b\u207c\u208a\u208b\u208c\ufb29-"
CONTROLS = "\x00-\x1f\x7f-\x9f"
INVISIBLE = f"{CONTROLS} \xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff"
FORMULA = f"\\A(?:[{CONTROLS}]|[{INVISIBLE}]*[{SIGNS}])"
BEGINS_A_FORMULA = re.compile(FORMULA)

# An error handler for streams: what an encoding lacks is written as JSON escapes it, so that JSON stays JSON.
ESCAPE = "finance_lake.escape"


def escape(error: UnicodeError) -> tuple[str, int]:
    """Give the escape of JSON for each character that cannot be encoded, two for one beyond the first 65,536."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)), error.end


codecs.register_error(ESCAPE, escape)


def plain(value: Any) -> str:  # noqa: ANN401
    """Show a value in one line; what is not printable, such as control characters and changes of direction, as escapes."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ")) if hasattr(value, "hour") and hasattr(value, "year") else str(value.isoformat())
    return "".join(one if one.isprintable() else _escaped(one) for one in str(value))


def inert(text: str) -> str:
    """Put an apostrophe before text that a spreadsheet would run as a formula."""
    return f"'{text}" if BEGINS_A_FORMULA.match(text) else text


def price(value: Decimal) -> str:
    """Show a decimal in plain digits: no zeros that say nothing, two after the point at least where its type has any."""
    whole, point, fraction = f"{value:f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}" if point else whole


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
