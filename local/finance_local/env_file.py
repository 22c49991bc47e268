"""Parse `.env`, restricted to syntax that all of its readers interpret alike.

Make, Compose and python-dotenv disagree on quotes, spaces, `#`, `$` and escapes. A line `KEY=value` with a value of plain
characters means the same to all of them, so nothing else is allowed. Standard library only, because `make up` runs this with
the system Python before anything is installed.
"""

from __future__ import annotations

import re

LINE = re.compile(r"([A-Z][A-Z0-9_]*)=([A-Za-z0-9_./:,@%+=-]*)")
BEGINNING = re.compile(r"\s*([A-Z][A-Z0-9_]{0,39})\s*=")

# Keys that `make up` writes itself, so they are not in .env.example: the containers' user and group, and the files of Compose.
USER_KEYS = ("LAKE_UID", "LAKE_GID")
FILES_KEY = "COMPOSE_FILE"


class EnvFileError(ValueError):
    """The file has lines that are not allowed; the message names each of them."""


def parse(text: str, known: set[str] | None = None) -> dict[str, str]:
    """Return keys and values. Raises EnvFileError for other syntax, duplicate keys and, if `known` is given, unknown keys."""
    values: dict[str, str] = {}
    wrong: list[str] = []
    # Not splitlines, because for the other readers only a newline ends a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or (line.startswith("#") and "\r" not in line):
            continue
        match = LINE.fullmatch(line)
        fault = _fault(match, values, known)
        if fault:
            wrong.append(f"line {number}{_key(line)}: {fault}")
        elif match:
            values[match[1]] = match[2]
    if wrong:
        raise EnvFileError("\n".join(wrong))
    return values


def known_keys(example: str) -> set[str]:
    """Return the keys that `.env` may hold, given the text of `.env.example`."""
    return {*parse(example), *USER_KEYS, FILES_KEY}


def _fault(match: re.Match[str] | None, values: dict[str, str], known: set[str] | None) -> str | None:
    if match is None:
        return "write KEY=value with only letters, digits and _ . / : , @ % + = - in the value; no quotes, spaces or comment"
    if match[1] in values:
        return "this key is set twice"
    if known is not None and match[1] not in known:
        return "there is no such key; .env.example explains all of them"
    return None


def _key(line: str) -> str:
    """Return the key of a line, if it has one, for messages. The rest is not shown, because it may be a secret."""
    match = BEGINNING.match(line)
    return f", {match[1]!r}" if match else ""
