"""The rows of a user's file of prices, CSV or Parquet, as text; streamed, so that a file of any length fits into memory.

Columns `symbol` and `price`, and if there are any `size` and `ts_event`; others are ignored.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

REQUIRED = ("symbol", "price")
COLUMNS = (*REQUIRED, "size", "ts_event")
PARQUET_MAGIC = b"PAR1"


class UnreadableError(Exception):
    """The file cannot be replayed; says so in a sentence."""


class Row(NamedTuple):
    """A row: its line (CSV, the header being the first) or number (Parquet), and its cells, None where they are empty.

    `fault` says what is wrong with a row whose cells cannot be told apart.
    """

    line: int
    symbol: str | None = None
    price: str | None = None
    size: str | None = None
    ts_event: str | None = None
    fault: str | None = None


def rows(file: Path) -> Iterator[Row]:
    """Give the rows of a file; raises UnreadableError on the way, with the first row if it can be told so early."""
    try:
        with file.open("rb") as stream:
            is_parquet = stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
    except OSError as error:
        raise UnreadableError(f"{file} cannot be read: {error.strerror}.") from None
    if not is_parquet:
        yield from csv_rows(file)
        return
    # Only here: duckdb takes 35 MB and a fifth of a second, which those who simulate need not pay.
    from finance_producer.parquet import parquet_rows  # noqa: PLC0415

    yield from parquet_rows(file)


def csv_rows(file: Path) -> Iterator[Row]:
    """Give the rows of a CSV file with a header, UTF-8, cells separated by commas."""
    # A byte that is not UTF-8 becomes U+FFFD, which is in no symbol and no number: its row is rejected, not the file.
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        lines = csv.reader(stream)
        try:
            header = [name.strip() for name in next(lines, [])]
            require_columns(file, header)
            places = {name: header.index(name) for name in COLUMNS if name in header}
            for cells in lines:
                if cells:
                    yield _row(lines.line_num, cells, places, len(header))
        except csv.Error as error:
            raise UnreadableError(f"{file} cannot be read beyond line {lines.line_num}: {error}.") from None


def require_columns(file: Path, present: Sequence[str]) -> None:
    """Raise UnreadableError if a required column is missing, or if one that is read stands there twice."""
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        raise UnreadableError(f"{file} has no column {' or '.join(missing)}; it has: {', '.join(present) or 'none'}.")
    doubled = [name for name in COLUMNS if present.count(name) > 1]
    if doubled:
        raise UnreadableError(f"{file} has the column {doubled[0]} twice.")


def _row(line: int, cells: list[str], places: dict[str, int], width: int) -> Row:
    if len(cells) != width:
        return Row(line, fault=f"{len(cells)} cells under {width} columns")
    return Row(line, *(cells[places[name]].strip() or None if name in places else None for name in COLUMNS))
