"""What can be wrong with a question to the lake. Each message is a sentence: what, where, and how to mend it."""

from __future__ import annotations

MAX_REASON_LENGTH = 200
START = "`make local` or `make up`"
FILL = f"{START} fills it."


def first_line(error: Exception) -> str:
    """Return what an error says, without the stack that some libraries add."""
    return (str(error).splitlines() or [type(error).__name__])[0][:MAX_REASON_LENGTH].rstrip(".")


class LakeError(Exception):
    """The lake cannot answer."""


class NoLakeError(LakeError):
    """There is no lake in the folder."""


class RequestError(LakeError):
    """What was asked for is not as it must be: a symbol, a time, a version, a bar size."""


class QueryError(LakeError):
    """SQL that is refused, wrong, or wants more than it may have."""


class UnreadableError(LakeError):
    """The tables are there and cannot be read: a file is missing or damaged, or they need a newer reader."""
