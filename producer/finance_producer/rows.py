"""Stream the rows of a user's file of prices as text, so that a file of any length fits into memory.

The first bytes decide between CSV, Parquet and Arrow. Memory is bounded whatever the file contains: a CSV row has at most
`MAX_RECORD_CHARS`, and a separate process with at most `columnar.MAX_MEGABYTES` reads Parquet and Arrow.
"""

from __future__ import annotations

import csv
import stat
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, NamedTuple

from finance_producer.columns import COLUMNS, Column, ColumnMapping, Columns, UnreadableFileError, choose

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    # The line where it begins, and its cells or a fault.
    Record = tuple[int, list[str] | str]

COLUMNAR = {b"PAR1": "Parquet", b"ARROW1": "Arrow"}
MAGIC_BYTES = 6
MAX_RECORD_CHARS = 1024 * 1024
SKIPPED_CHARS = 64 * 1024


class Row(NamedTuple):
    """A row: its line (CSV, counting the header) or number (Parquet, Arrow), and its cells, None if empty.

    `fault` says what is wrong with a row whose cells cannot be used.
    """

    line: int
    symbol: str | None = None
    price: str | None = None
    size: str | None = None
    ts_event: str | None = None
    ts_event_nanos: str | None = None
    fault: str | None = None


class Rows(NamedTuple):
    """An open file: the columns that are read, and an iterator of its rows, which may raise UnreadableFileError."""

    columns: Columns
    rows: Iterator[Row]


def open_rows(file: Path, mapping: ColumnMapping = ColumnMapping()) -> Rows:  # noqa: B008 (it is immutable)
    """Open a file. Raises UnreadableFileError if its beginning shows that it cannot be replayed."""
    try:
        if not stat.S_ISREG(file.stat().st_mode) and not file.is_dir():  # opening a pipe would block
            raise UnreadableFileError(f"{file} is not a regular file.")
        with file.open("rb") as stream:
            magic = stream.read(MAGIC_BYTES)
    except OSError as error:
        raise UnreadableFileError(f"{file} cannot be read: {error.strerror}.") from None
    kind = next((kind for beginning, kind in COLUMNAR.items() if magic.startswith(beginning)), None)
    if kind is None:
        return _csv(file, mapping)
    from finance_producer.columnar import open_columnar  # noqa: PLC0415 (only replays of such files need it)

    return open_columnar(file, kind, mapping)


def _csv(file: Path, mapping: ColumnMapping) -> Rows:
    """Open a UTF-8 CSV file with a header and cells separated by commas."""
    # Invalid UTF-8 becomes U+FFFD, which no symbol or number contains: the row is rejected, not the file.
    stream = file.open(encoding="utf-8-sig", errors="replace", newline="")
    records = _Lines(stream).records()
    try:
        _, header = next(records, (0, []))
        first = list(islice(records, 1))
        columns = choose(file, _csv_columns(file, header, first), mapping)
    except UnreadableFileError:
        stream.close()
        raise
    return Rows(columns, _csv_rows(stream, chain(first, records), columns, len(header)))


def _csv_columns(file: Path, header: list[str] | str, first: list[Record]) -> list[Column]:
    if isinstance(header, str):
        raise UnreadableFileError(f"{file} cannot be read: its first line is not CSV, {header}.")
    examples = next((cells for _, cells in first if not isinstance(cells, str)), [])
    return [
        Column(name.strip(), example.strip()) for name, example in zip_longest(header, examples[: len(header)], fillvalue="")
    ]


def _csv_rows(stream: TextIO, records: Iterable[Record], columns: Columns, width: int) -> Iterator[Row]:
    with stream:
        for line, cells in records:
            yield _row(line, cells, columns.places, width)


class _Lines:
    """The lines of a stream, with a limit of `MAX_RECORD_CHARS` for each record."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._read = 0
        self._left = MAX_RECORD_CHARS

    def __iter__(self) -> Iterator[str]:
        """Iterate over lines, for the csv module. Raises csv.Error if a record is too long; the next line begins a new one."""
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._read += 1
        self._left -= len(line)
        if self._left < 0:
            while line and not line.endswith(("\n", "\r")):
                line = self._stream.readline(SKIPPED_CHARS)
            raise csv.Error(f"a row of more than {MAX_RECORD_CHARS:,} characters")
        return line

    def records(self) -> Iterator[Record]:
        """Yield each record that is not empty: the line where it begins, and its cells or a fault."""
        reader = csv.reader(self, strict=True)
        while True:
            line, self._left = self._read + 1, MAX_RECORD_CHARS
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, f"lines {line} to {self._read}: {error}"
            else:
                if cells:
                    yield line, cells


def _row(line: int, cells: list[str] | str, places: dict[str, int], width: int) -> Row:
    if isinstance(cells, str):
        return Row(line, fault=cells)
    if len(cells) != width:
        return Row(line, fault=f"{len(cells)} cells for {width} columns")
    fields = {name: cells[place].strip() for name, place in places.items()}
    # An export to CSV prefixes an apostrophe to a symbol such as @ES, which a spreadsheet would run. No symbol begins with one.
    symbol = fields.get("symbol", "").removeprefix("'")
    return Row(line, symbol or None, *(fields.get(name) or None for name in COLUMNS if name != "symbol"))
