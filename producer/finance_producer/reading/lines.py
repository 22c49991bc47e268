"""Read lines of text in blocks, or one at a time where a block cannot be taken as a whole; memory is bounded."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BytesIO

    from finance_producer.reading.stream import Readable

    # The line where it begins, and its cells or a fault.
    Record = tuple[int, list[str] | str]

BLOCK_BYTES = 2 * 1024 * 1024
MAX_RECORD_CHARS = 1024 * 1024
SKIPPED_BYTES = 64 * 1024


class Lines:
    """The lines of a text, from which both whole blocks and single lines can be taken.

    Attributes:
        taken: number of lines taken so far

    """

    def __init__(self, stream: Readable | BytesIO) -> None:
        """Read `stream`, UTF-8."""
        self._stream = stream
        self._ahead = b""
        self._at = 0
        self._before = 0
        self.taken = 0

    @property
    def position(self) -> int:
        """The number of bytes taken so far."""
        return self._before + self._at

    @property
    def _left(self) -> int:
        return len(self._ahead) - self._at

    def block(self) -> bytes:
        """Take all whole lines of about the next `BLOCK_BYTES`; empty at the end, or if a line is longer."""
        if self._left < BLOCK_BYTES:
            self._fill(BLOCK_BYTES)
        end = self._ahead.rfind(b"\n", self._at) + 1
        if not end:
            return b""
        block, self._at = self._ahead[self._at : end], end
        self.taken += block.count(b"\n")
        return block

    def untake(self, block: bytes) -> None:
        """Put a block back."""
        self._at -= len(block)
        self.taken -= block.count(b"\n")

    def line(self, most: int) -> bytes:
        """Take the next line, or `most` bytes of a longer one; empty at the end."""
        end = self._ahead.find(b"\n", self._at, self._at + most) + 1
        if not end and self._left < most:
            self._fill(most)
            end = self._ahead.find(b"\n", self._at, self._at + most) + 1
        end = end or min(self._at + most, len(self._ahead))
        line, self._at = self._ahead[self._at : end], end
        return line

    def peek(self) -> bytes:
        """Return what is in memory, without taking it."""
        return self._ahead[self._at :]

    def fill(self, size: int) -> None:
        """Read ahead until there are `size` bytes in memory, or the end."""
        self._fill(size)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _fill(self, size: int) -> None:
        missing = max(0, size - self._left)
        self._before += self._at
        self._ahead = self._ahead[self._at :] + (self._stream.read(missing) if missing else b"")
        self._at = 0


class Records:
    """Reads records with the csv module: strict, and with cells that may have line feeds in quotes."""

    def __init__(self, lines: Lines, delimiter: str) -> None:
        """Take lines from `lines`."""
        self._lines = lines
        self._budget = MAX_RECORD_CHARS
        self._reader = csv.reader(self, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[str]:
        """Iterate over lines, for the csv module. Raises csv.Error if a record is too long; the next line begins a new one."""
        return self

    def __next__(self) -> str:
        """Return the next line."""
        line = self._lines.line(self._budget + 1)
        if not line:
            raise StopIteration
        self._lines.taken += 1
        self._budget -= len(line)
        if self._budget < 0:
            while line and not line.endswith(b"\n"):
                line = self._lines.line(SKIPPED_BYTES)
            raise csv.Error(f"a row of more than {MAX_RECORD_CHARS:,} characters")
        # Bytes that are no text become U+FFFD, which no symbol or number contains: the row is left out, not the file.
        return line.decode("utf-8", "replace")

    def next(self) -> Record | None:
        """Return the next record that is not empty; None at the end."""
        while True:
            line, self._budget = self._lines.taken + 1, MAX_RECORD_CHARS
            try:
                cells = next(self._reader)
            except StopIteration:
                return None
            except csv.Error as error:
                return line, f"lines {line} to {self._lines.taken}: {error}"
            if cells:
                return line, cells
