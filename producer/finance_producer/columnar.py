"""The rows of a Parquet or Arrow file as text, as another process reads them: see `columnar_reader`.

A file of a kilobyte can unpack to gigabytes, and one can be nested so deeply that its reader crashes. Either ends that process
alone, and becomes a sentence here.
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
from finance_producer.columns import Columns, UnreadableFileError, Wanted
from finance_producer.rows import Row, Rows
from finance_role.environment import composed, importing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_MEGABYTES = 512
READER = "finance_producer.columnar_reader"


class ColumnarRequest(msgspec.Struct):
    """What to read."""

    file: str
    kind: str
    mapped: dict[str, str]
    ignored: list[str]


class ColumnarBlock(msgspec.Struct, omit_defaults=True):
    """A line of what is read: what is wrong, or which columns there are, or rows (their cells, and a fault or None)."""

    error: str | None = None
    places: dict[str, int] | None = None
    unused: list[str] | None = None
    rows: list[list[str | None]] = []


def open_columnar(file: Path, kind: str, wanted: Wanted) -> Rows:
    """Open a file. Raises UnreadableFileError, also for a column of binary floating point."""
    request = ColumnarRequest(str(file.absolute()), kind, dict(wanted.mapped), sorted(wanted.ignored))
    # -P: what lies in the current folder is no module of ours.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", READER, str(MAX_MEGABYTES)],
        env=composed(importing(finance_contract, finance_producer, finance_role), settings=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin  # noqa: S101 (a pipe)
    with suppress(BrokenPipeError), process.stdin as stdin:  # one that cannot even start says so by its end
        stdin.write(msgspec.json.encode(request))
    answers = _answers(file, process)
    head = next(answers)
    return Rows(Columns(head.places or {}, tuple(head.unused or ())), _rows(answers))


def _answers(file: Path, process: subprocess.Popen[bytes]) -> Iterator[ColumnarBlock]:
    """Give the answers up to the last. Raises UnreadableFileError for an error, or where the process ends before the last."""
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
            f"{file} cannot be read: its reader ended with code {code}, as where a file needs more than {MAX_MEGABYTES} MB"
            " to be read or is nested too deeply. Write it with smaller row groups, or as CSV."
        )
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _rows(answers: Iterator[ColumnarBlock]) -> Iterator[Row]:
    number = 0
    for answer in answers:
        for number, cells in enumerate(answer.rows, number + 1):  # noqa: B020 (it goes on counting)
            yield Row(number, *(cell and (cell.strip() or None) for cell in cells))
