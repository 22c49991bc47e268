"""Read the rows of a Parquet or Arrow file as text in a separate process: see `columnar_reader`.

A file of a kilobyte can unpack to gigabytes, and a deeply nested one can crash its reader. Either ends only that process and is
reported here as an error message.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

import finance_contract
import finance_producer
import finance_role
from finance_producer.columns import ColumnMapping, Columns, UnreadableFileError
from finance_producer.rows import Row, Rows
from finance_role.environment import composed, importing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_MEGABYTES = 512
READER = "finance_producer.columnar_reader"


class ColumnarRequest(msgspec.Struct):
    """A request to read a file: its path, its format, and the settings for its columns."""

    file: str
    kind: str
    mapped: dict[str, str]
    ignored: list[str]


class ColumnarBlock(msgspec.Struct, omit_defaults=True):
    """A line of the response: an error, or the columns, or rows (each a list of cells, then a fault or None)."""

    error: str | None = None
    places: dict[str, int] | None = None
    unused: list[str] | None = None
    rows: list[list[str | None]] = []


def open_columnar(file: Path, kind: str, mapping: ColumnMapping) -> Rows:
    """Open a file. Raises UnreadableFileError, also for a column of binary floating point."""
    request = ColumnarRequest(str(file.absolute()), kind, dict(mapping.mapped), sorted(mapping.ignored))
    # -P: import nothing from the current folder.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", READER, str(MAX_MEGABYTES)],
        env=composed(importing(finance_contract, finance_producer, finance_role), settings=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin  # noqa: S101 (a pipe)
    with suppress(BrokenPipeError), process.stdin as stdin:  # if the process cannot start, its exit code is reported below
        stdin.write(msgspec.json.encode(request))
    answers = _answers(file, process)
    head = next(answers)
    return Rows(Columns(head.places or {}, tuple(head.unused or ())), _rows(answers))


def _answers(file: Path, process: subprocess.Popen[bytes]) -> Iterator[ColumnarBlock]:
    """Yield the answers up to the last. Raises UnreadableFileError for an error, or if the process ends too early."""
    assert process.stdout  # noqa: S101 (a pipe)
    try:
        for line in process.stdout:
            answer = msgspec.json.decode(line, type=ColumnarBlock)
            if answer.error is not None:
                raise UnreadableFileError(answer.error)
            yield answer
            if answer.places is None and not answer.rows:
                return
        code = process.wait()
        raise UnreadableFileError(
            f"{file} cannot be read: its reader ended with code {code}, which happens if a file needs more than"
            f" {MAX_MEGABYTES} MB of memory or is nested too deeply. Write it with smaller row groups, or as CSV."
        )
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _rows(answers: Iterator[ColumnarBlock]) -> Iterator[Row]:
    number = 0
    for answer in answers:
        for number, cells in enumerate(answer.rows, number + 1):  # noqa: B020 (continues the count)
            yield Row(number, *(cell and (cell.strip() or None) for cell in cells))
