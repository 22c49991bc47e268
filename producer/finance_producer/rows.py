"""The rows of a user's file of prices, CSV or Parquet, as text; streamed, so that a file of any length fits into memory.

Columns `symbol` and `price`, and if there are any `size` and `ts_event`; others are ignored.
"""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
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
        records = _records(stream)
        _, header = next(records, (0, []))
        if isinstance(header, str):
            raise UnreadableError(f"{file} cannot be read: its first line is no CSV, {header}.")
        header = [name.strip() for name in header]
        require_columns(file, header)
        places = {name: header.index(name) for name in COLUMNS if name in header}
        for line, cells in records:
            yield Row(line, fault=cells) if isinstance(cells, str) else _row(line, cells, places, len(header))


def _records(stream: Iterable[str]) -> Iterator[tuple[int, list[str] | str]]:
    """Give the lines that are not empty: where each begins, and its cells or why it cannot be read; then reading goes on."""
    reader = csv.reader(stream, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"lines {line} to {reader.line_num}: {error}"
        else:
            if cells:
                yield line, cells


def require_columns(file: Path, present: Sequence[str]) -> None:
    """Raise UnreadableError if a required column is missing, or if one that is read stands there twice."""
    missing = [name for name in REQUIRED if name not in present]
    if missing:
        shown = ", ".join(ascii(name[:24]) for name in present[:20]) or "none"
        raise UnreadableError(f"{file} has no column {' or '.join(missing)}; it has: {shown}.")
    doubled = [name for name in COLUMNS if present.count(name) > 1]
    if doubled:
        raise UnreadableError(f"{file} has the column {doubled[0]} twice.")


def _row(line: int, cells: list[str], places: dict[str, int], width: int) -> Row:
    if len(cells) != width:
        return Row(line, fault=f"{len(cells)} cells under {width} columns")
    return Row(line, *(cells[places[name]].strip() or None if name in places else None for name in COLUMNS))
