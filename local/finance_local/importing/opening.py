"""Open a file, and ask what only the user can decide."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from finance_lake.cli.app import say
from finance_producer.reading.options import AmbiguousError, decided
from finance_producer.reading.remote import OpenFile

if TYPE_CHECKING:
    from pathlib import Path

    from finance_producer.reading.options import Options

MAX_QUESTIONS = 20


def open_asking(file: Path, options: Options, *, may_ask: bool) -> tuple[OpenFile, Options]:
    """Open a file; return the options with the user's answers too.

    Raises UnreadableFileError, and AmbiguousError if `may_ask` is false or the user does not decide.
    """
    for _ in range(MAX_QUESTIONS):
        try:
            return OpenFile(file, options), options
        except AmbiguousError as error:
            if not may_ask:
                raise
            options = decided(options, _asked(error))
    return OpenFile(file, options), options


def _asked(error: AmbiguousError) -> str:
    """Ask; return the choice. Raises the error again if the user gives up."""
    choices = list(error.choices)
    say(error.question)
    for number, choice in enumerate(choices, 1):
        say(f"  {number}  {error.choices[choice]}")
    while True:
        answer = answered(f"1 to {len(choices)}, or q: ")
        if answer in {"", "q"}:
            raise error
        if answer.isdigit() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]


def answered(question: str) -> str:
    """Ask on standard error; return the answer, empty at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower()
