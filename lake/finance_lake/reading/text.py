"""Text that came from a record or from outside, for terminals: nothing in it that a terminal obeys."""

from __future__ import annotations

from typing import Any


def plain(value: Any) -> str:  # noqa: ANN401
    """Show a value in one line; what is not printable, such as control characters and changes of direction, as escapes."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return repr(value)[2:-1]
    if hasattr(value, "isoformat"):
        return str(value.isoformat(sep=" ")) if hasattr(value, "hour") and hasattr(value, "year") else str(value.isoformat())
    return "".join(one if one.isprintable() else _escaped(one) for one in str(value))


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
