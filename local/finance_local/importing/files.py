"""The files of an import: folders are searched, a pipe is stored below the lake's folder first."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from finance_producer.reading.options import UnreadableFileError
from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STANDARD_INPUT = "-"
PIECE_BYTES = 1024 * 1024
ENDINGS = (".csv", ".tsv", ".txt", ".psv", ".parquet", ".pq", ".feather", ".arrow", ".ipc", ".arrows")
COMPRESSED = ("", ".gz", ".zst", ".bz2")
LEFT_OUT = ".left-out.csv"


class InputFile(NamedTuple):
    """A file to import.

    Attributes:
        path: where its bytes are
        name: what it is called
        left_out: where the rows left out are listed

    """

    path: Path
    name: str
    left_out: Path


def found(arguments: Sequence[Path]) -> list[Path]:
    """Return the files that arguments name; of a folder those with known endings, at any depth. Raises UnreadableFileError."""
    files: list[Path] = []
    for argument in arguments:
        if not argument.is_dir():
            files.append(argument)
            continue
        inside = sorted(path for path in argument.rglob("*") if path.is_file() and is_of_prices(path.name))
        if not inside:
            raise UnreadableFileError(
                f"{argument} has no file whose name ends with {', '.join(ENDINGS)} (or these and .gz, .zst, .bz2)."
            )
        files += inside
    return files


def is_of_prices(name: str) -> bool:
    """Whether a file in a folder is one to import, by its name."""
    lower = name.lower()
    return lower.endswith(tuple(end + packed for end in ENDINGS for packed in COMPRESSED)) and not lower.endswith(LEFT_OUT)


@contextmanager
def regular(file: Path, root: Path, left_out: Path | None) -> Iterator[InputFile]:
    """Yield a file that can be read twice: the file itself, or a copy below the lake's folder of standard input or a pipe.

    `left_out` is the file, or the folder of the file, that lists the rows left out; None for one beside the file.
    """
    if str(file) != STANDARD_INPUT and not _is_pipe(file):
        yield InputFile(file, file.name, _list_of(file.name, left_out or file.parent))
        return
    name = "stdin" if str(file) == STANDARD_INPUT else file.name
    copy = root / "run" / "import" / secrets.token_hex(8)
    try:
        with os.fdopen(beneath.create(root, copy), "wb") as target:
            if str(file) == STANDARD_INPUT:
                _copy(sys.stdin.buffer, target)
            else:
                with file.open("rb") as pipe:
                    _copy(pipe, target)
        yield InputFile(copy, name, _list_of(name, left_out or Path.cwd()))
    finally:
        beneath.remove(root, copy)


def _list_of(name: str, place: Path) -> Path:
    return place / f"{name}{LEFT_OUT}" if place.is_dir() else place


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    shutil.copyfileobj(source, target, PIECE_BYTES)


def _is_pipe(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
