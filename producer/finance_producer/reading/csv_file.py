"""Read a CSV file as blocks of Arrow columns, all of them text.

A block whose quotes are all in order is parsed as a whole. Any other is read record by record with the csv module, which has
the final say about what a record is.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from finance_producer.reading.lines import Lines, Records
from finance_producer.reading.stream import SAMPLE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from finance_producer.reading.stream import Readable

    Numbers = NDArray[np.int64]

QUOTE, LINE_FEED, RETURN = (ord(character) for character in '"\n\r')
ROWS_PER_BLOCK = 20_000


class Block(NamedTuple):
    """Rows of a file.

    Attributes:
        lines: the line of each row (CSV, counting the header) or its number (Parquet, Arrow)
        columns: the columns that were asked for, by place; CSV has text, other formats their own types
        faults: the lines of rows that have no usable cells, and why

    """

    lines: Numbers
    columns: dict[int, pa.Array]
    faults: list[tuple[int, str]]

    @classmethod
    def of_cells(cls, line: int, cells: Sequence[str]) -> Block:
        """Return a block of one row of text."""
        return cls(np.array([line]), {place: pa.array([cell], pa.string()) for place, cell in enumerate(cells)}, [])


class CsvFile:
    """An open CSV file."""

    def __init__(self, stream: Readable, delimiter: str) -> None:
        """Read `stream`, which begins with the first line of the file; cells are separated by `delimiter`."""
        self.lines = Lines(stream)
        self.delimiter = delimiter
        self._width = 0

    def header(self) -> list[str] | str:
        """Take the first record; a text says what is wrong with it."""
        record = Records(self.lines, self.delimiter).next()
        return record[1] if record else []

    def sample(self, width: int, rows: int) -> list[list[str]]:
        """Return the next rows of `width` cells that are in memory, without taking them."""
        text = self.lines.peek()
        whole = text[: text.rfind(b"\n") + 1] if len(text) >= SAMPLE_BYTES // 2 else text
        records = Records(Lines(io.BytesIO(whole)), self.delimiter)
        found: list[list[str]] = []
        while len(found) < rows and (record := records.next()):
            if not isinstance(record[1], str) and len(record[1]) == width:
                found.append(record[1])
        return found

    def blocks(self, width: int, places: Sequence[int]) -> Iterator[Block]:
        """Yield the remaining rows, of `width` cells each: the columns at `places`. Raises UnreadableFileError."""
        self._width = width
        while True:
            block = self.lines.block()
            if block and (parsed := self._parsed(block, places)):
                yield parsed
                continue
            self.lines.untake(block)
            rows = self._one_by_one(max(len(block), 1), places)
            if rows is None:
                return
            yield rows

    def _parsed(self, block: bytes, places: Sequence[int]) -> Block | None:
        """Parse the block that was taken last as a whole; None if the csv module must read it."""
        quoted = b'"' in block
        if b"\r" in block and block.count(b"\r") != block.count(b"\r\n"):
            return None
        if quoted and not are_quotes_in_order(block, self.delimiter):
            return None
        feeds = block.count(b"\n")
        before = self.lines.taken - feeds
        wrong: list[arrow_csv.InvalidRow] = []

        def skip(row: arrow_csv.InvalidRow) -> str:
            wrong.append(row)
            return "skip"

        names = [str(place) for place in range(self._width)]
        chosen = [str(place) for place in places]
        try:
            table = arrow_csv.read_csv(
                pa.py_buffer(block),
                arrow_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                arrow_csv.ParseOptions(
                    delimiter=self.delimiter,
                    quote_char='"' if quoted else False,
                    ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), include_columns=chosen),
            )
        except pa.ArrowInvalid:
            return None
        rejected = np.array([row.number for row in wrong], np.int64)
        lines = np.delete(np.arange(1, len(rejected) + len(table) + 1), rejected - 1)
        if len(lines) != len(table) or len(lines) + len(rejected) != feeds:
            return None
        columns = {place: combined(table.column(str(place))) for place in places}
        empty = empty_lines(block)
        if empty.size:
            kept = pa.array(~np.isin(lines, empty))
            lines, columns = (
                lines[kept.to_numpy(zero_copy_only=False)],
                {at: column.filter(kept) for at, column in columns.items()},
            )
        faults = [(before + row.number, self._fault(row.actual_columns)) for row in wrong if row.number not in empty]
        return Block(lines + before, columns, faults)

    def _one_by_one(self, size: int, places: Sequence[int]) -> Block | None:
        """Read records until `size` bytes are read, at most `ROWS_PER_BLOCK`; None at the end."""
        records, until = Records(self.lines, self.delimiter), self.lines.position + size
        lines: list[int] = []
        cells: list[list[str]] = []
        faults: list[tuple[int, str]] = []
        while self.lines.position < until and len(lines) + len(faults) < ROWS_PER_BLOCK:
            record = records.next()
            if record is None:
                break
            line, content = record
            if isinstance(content, str):
                faults.append((line, content))
            elif len(content) != self._width:
                faults.append((line, self._fault(len(content))))
            else:
                lines.append(line)
                cells.append(content)
        if not lines and not faults:
            return None
        columns = {place: pa.array([row[place] for row in cells], pa.string()) for place in places}
        return Block(np.array(lines, np.int64), columns, faults)

    def _fault(self, cells: int) -> str:
        return f"{cells} cells for {self._width} columns"


def are_quotes_in_order(block: bytes, delimiter: str) -> bool:
    """Whether every quote encloses a whole cell of one line, so that all parsers agree on the cells."""
    codes = np.frombuffer(block, np.uint8)
    places = np.flatnonzero(codes == QUOTE)
    if places.size % 2:
        return False
    opening, closing = places[0::2], places[1::2]
    around = np.array([QUOTE, LINE_FEED, RETURN, ord(delimiter)], np.uint8)
    before = codes[np.maximum(opening - 1, 0)]
    after = codes[np.minimum(closing + 1, len(codes) - 1)]
    starts = np.isin(before, around) | (opening == 0)
    ends = np.isin(after, around)
    feeds = np.flatnonzero(codes == LINE_FEED)
    return bool(starts.all() and ends.all() and not (np.searchsorted(places, feeds) % 2).any())


def empty_lines(block: bytes) -> Numbers:
    """Return the numbers of the lines of a block that are empty, from 1."""
    if not (block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block):
        return np.zeros(0, np.int64)
    codes = np.frombuffer(block, np.uint8)
    feeds = np.flatnonzero(codes == LINE_FEED)
    lengths = np.diff(feeds, prepend=-1) - 1
    lengths -= (lengths > 0) & (codes[np.maximum(feeds - 1, 0)] == RETURN)
    return np.flatnonzero(lengths == 0) + 1


def combined(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
