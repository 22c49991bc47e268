"""List the rows that an import leaves out, with the reason for each, in a file beside the imported one or at --left-out."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from finance_role.text import inert, plain
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import TextIO

HEADER = ("line", "reason", "detail")


def prepare_lists(files: Iterable[Path]) -> None:
    """Remove the lists of earlier imports. Raises RequestError if one cannot be written, or would replace another file."""
    seen: set[Path] = set()
    for file in files:
        if file in seen:
            raise RequestError(f"{file} would list the rows that two files leave out: import them one by one.")
        seen.add(file)
        try:
            if file.exists() and not _is_list(file):
                raise RequestError(
                    f"{file} is not a list of rows left out, and is not replaced: --left-out names another file."
                )
            with file.open("w"):
                pass
            file.unlink()
        except OSError as error:
            raise RequestError(
                f"{file} cannot be written ({error.strerror or error}), and rows left out could not be listed: "
                "--left-out FILE, or --left-out FOLDER for several files, names another place."
            ) from None


def _is_list(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.readline(100).rstrip(b"\r\n") in {b"", ",".join(HEADER).encode()}


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
            self._rows.writerow(HEADER)
        code, _, detail = reason.partition(": ")
        self._rows.writerow((line, code, inert(plain(detail))))

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
