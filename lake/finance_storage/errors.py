"""Errors of reading the lake. Each message is a sentence: what is wrong, where, and how to fix it."""

from __future__ import annotations

MAX_REASON_LENGTH = 200
START = "`make local` or `make up`"
FILL = f"{START} fills it."


def first_line(error: Exception) -> str:
    """Return the first line of an error message, without the stack trace that some libraries append."""
    return (str(error).splitlines() or [type(error).__name__])[0][:MAX_REASON_LENGTH].rstrip(".")


class LakeError(Exception):
    """Base class: the lake could not answer a request."""


class NoLakeError(LakeError):
    """There is no lake in the folder."""


class RequestError(LakeError):
    """A parameter is not valid: a symbol, a time, a version or a bar size."""


class QueryError(LakeError):
    """SQL that is refused, not valid, or exceeds a limit."""


class UnreadableError(LakeError):
    """The tables exist and cannot be read: a file is missing or damaged, or they need a newer reader."""


class StoreUnavailableError(LakeError, OSError):
    """An object store does not answer, or has failed. A retry may succeed."""
