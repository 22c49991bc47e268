"""List the rows that an import leaves out, with the reason for each, in a file beside the imported one."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from finance_role.text import inert, plain

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TextIO


class LeftOut:
    """Writes the list; there is no file unless a row is left out."""

    def __init__(self, file: Path) -> None:
        """Write to `file`, which is replaced."""
        self.file = file
        self._stream: TextIO | None = None

    def add(self, line: int, reason: str) -> None:
        """Add a row: where it begins, its reason code and a hint. Raises OSError."""
        if self._stream is None:
            self._stream = self.file.open("w", encoding="utf-8", newline="")
            self._rows = csv.writer(self._stream, lineterminator="\n")
            self._rows.writerow(("line", "reason", "detail"))
        code, _, detail = reason.partition(": ")
        self._rows.writerow((line, code, inert(plain(detail))))

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
