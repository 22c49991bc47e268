"""`.env`, restricted to what every reader of it understands alike.

Make, Compose and python-dotenv disagree on quotes, spaces, `#`, `$` and escapes. A line `KEY=value` with a value of plain
characters means the same to all of them, so nothing else is allowed, and the rest needs no rules. Standard library only:
`make up` runs this with the machine's own Python, before anything is installed.
"""

from __future__ import annotations

import re

LINE = re.compile(r"([A-Z][A-Z0-9_]*)=([A-Za-z0-9_./:,@%+=-]*)")
BEGINNING = re.compile(r"\s*([A-Z][A-Z0-9_]{0,39})\s*=")

# Who the containers run as; `make up` writes these itself, so .env.example has none of them.
USER_KEYS = ("LAKE_UID", "LAKE_GID")


class EnvFileError(ValueError):
    """The file holds lines that are not allowed; the message names each of them."""


def parse(text: str, known: set[str] | None = None) -> dict[str, str]:
    """Return keys and values. Raises EnvFileError for lines of another form, doubled keys and, if given, unknown ones."""
    values: dict[str, str] = {}
    wrong: list[str] = []
    # Not splitlines: to the other readers a line ends with a newline only.
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
    return {*parse(example), *USER_KEYS}


def _fault(match: re.Match[str] | None, values: dict[str, str], known: set[str] | None) -> str | None:
    if match is None:
        return "write KEY=value, the value of letters, digits and _ . / : , @ % + = - only, with no quotes, spaces or comment"
    if match[1] in values:
        return "this key stands here twice"
    if known is not None and match[1] not in known:
        return "there is no such key; .env.example explains all of them"
    return None


def _key(line: str) -> str:
    """Name the line by its key, if it has one: all else may be a secret, or anything."""
    match = BEGINNING.match(line)
    return f", {match[1]!r}" if match else ""
