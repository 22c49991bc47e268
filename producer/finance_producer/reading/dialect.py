"""Find out how a text file separates its cells, and whether its first line names the columns."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from finance_producer.reading.columns import ALIASES, JOIN, OHLC, plain_name, printable
from finance_producer.reading.options import DELIMITERS, AmbiguousError, Options, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CANDIDATES = (",", "\t", ";", "|")
RARE = (":", " ")
MAX_LINES = 200
VALUE = re.compile(r"[-+]?[\d.,]+(e[-+]?\d+)?|\d[\d :/.T+Z-]*|(?i:true|false|nan|null)|")
NAMES = {character: name for name, character in DELIMITERS.items()}


def delimiter_of(file: Path, text: str, options: Options) -> str:
    """Return what separates the cells of the first lines. Raises UnreadableFileError, AmbiguousError."""
    lines = [line for line in text.splitlines()[:MAX_LINES] if line]
    if options.delimiter:
        if lines and options.delimiter not in lines[0]:
            delimiter = options.spelled("delimiter", NAMES.get(options.delimiter, printable(options.delimiter)))
            raise UnreadableFileError(f"{file} has no such delimiter in its first line: leave {delimiter} out.")
        return options.delimiter
    fitting = [candidate for candidate in CANDIDATES if _widths(lines, candidate) == 1] or [
        candidate for candidate in CANDIDATES if _widths(lines[:1], candidate) == 1
    ]
    fitting = fitting or [candidate for candidate in RARE if _widths(lines, candidate) == 1]
    if len(fitting) < 2:  # noqa: PLR2004
        return fitting[0] if fitting else ","
    scores = {candidate: _known_names(lines[0], candidate) for candidate in fitting}
    best = [candidate for candidate, score in scores.items() if score == max(scores.values())]
    if len(best) == 1 and scores[best[0]]:
        return best[0]
    choices = {f"delimiter={candidate}": f"cells separated by {NAMES[candidate]}" for candidate in best}
    raise AmbiguousError(
        f"{file} can be split at {' or at '.join(NAMES[candidate] for candidate in best)}:"
        f" {' or '.join(options.spelled('delimiter', NAMES[candidate]) for candidate in best)} says which.",
        "What separates the cells?",
        choices,
    )


def _widths(lines: Sequence[str], delimiter: str) -> int:
    """Return 1 if all lines have the same number of cells, more than one; else another number."""
    try:
        widths = {len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells}
    except csv.Error:
        return 0
    return len(widths) if min(widths, default=0) > 1 else 0


def _known_names(line: str, delimiter: str) -> int:
    names = [plain_name(name) for name in next(csv.reader([line], delimiter=delimiter), [])]
    return sum(any(name in known for known in ALIASES.values()) or name in OHLC for name in names)


def has_header(file: Path, first: Sequence[str], options: Options) -> bool:
    """Whether the first line names the columns; else they are `1`, `2`, ... Raises UnreadableFileError if it may or may not."""
    asked = [part for theirs in options.mapped.values() for part in ([theirs] if theirs in first else theirs.split(JOIN))]
    if asked := [*asked, *options.ohlc]:
        return not all(name.isdigit() and name not in first for name in asked)
    plain = [plain_name(cell) for cell in first]
    if any(name in known for name in plain for known in (*ALIASES.values(), OHLC)):
        return True
    if not any(VALUE.fullmatch(cell.strip()) for cell in first):
        return True
    numbered = ", ".join(f"{number}={printable(cell[:24])}" for number, cell in enumerate(first[:20], 1))
    raise UnreadableFileError(
        f"{file} has no line that names its columns. Its first line is {numbered}:"
        f" {options.spelled('mapped', 'symbol=1,price=2')} says which columns are which, by number."
    )
