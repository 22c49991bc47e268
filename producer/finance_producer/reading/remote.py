"""Read a file in a separate process with limited memory, and hand on its ticks block by block."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

import finance_contract
import finance_producer
import finance_role
from finance_producer.reading import frames
from finance_producer.reading.convert import Converted
from finance_producer.reading.options import AmbiguousError, Options, UnreadableFileError
from finance_role.environment import composed, importing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_MEGABYTES = 320
READER = "finance_producer.reading.process"


class OpenFile:
    """A file that is read by another process.

    Attributes:
        described: how it is read

    """

    def __init__(self, file: Path, options: Options) -> None:
        """Open the file. Raises AmbiguousError where only the user can decide, UnreadableFileError if it cannot be read."""
        self._file = file
        self._process = _start(file, options)
        assert self._process.stdout  # noqa: S101 (a pipe)
        self._frames = frames.read(self._process.stdout)
        try:
            self.described = msgspec.json.decode(self._next(frames.PLAN), type=frames.Described)
        except BaseException:
            self.close()
            raise

    def blocks(self) -> Iterator[Converted]:
        """Yield all rows. Raises UnreadableFileError if the file turns out to be damaged."""
        try:
            while head := self._next(frames.BLOCK):
                counts = msgspec.json.decode(head, type=frames.Counts)
                yield Converted(frames.ticks_in(self._next(frames.TICKS)), counts.rows, counts.left_out, counts.done)
        finally:
            self.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdout  # noqa: S101 (a pipe)
        self._process.kill()
        self._process.stdout.close()
        self._process.wait()

    def _next(self, expected: bytes) -> bytes:
        """Return the content of the next frame, empty at the end."""
        kind, content = next(self._frames, (b"", b""))
        if kind in {expected, frames.END}:
            return content
        if kind == frames.FAILURE:
            failure = msgspec.json.decode(content, type=frames.Failure)
            if failure.choices:
                raise AmbiguousError(failure.message, failure.question, failure.choices)
            raise UnreadableFileError(failure.message)
        code = self._process.wait()
        raise UnreadableFileError(
            f"{self._file} cannot be read: its reader ended with code {code}, which happens if a file needs more than"
            f" {MAX_MEGABYTES} MB of memory or is nested too deeply. Write it with smaller row groups, or as CSV."
        )


def _start(file: Path, options: Options) -> subprocess.Popen[bytes]:
    request = frames.Request(str(file.absolute()), msgspec.Raw(msgspec.json.encode(options)))
    # -P: import nothing from the current folder.
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", READER, str(MAX_MEGABYTES)],
        # One arena: each thread of Arrow would reserve 64 MB of the memory that it may have.
        env=composed({**importing(finance_contract, finance_producer, finance_role), "MALLOC_ARENA_MAX": "1"}, settings=False),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin  # noqa: S101 (a pipe)
    with suppress(BrokenPipeError), process.stdin as stdin:  # if the process cannot start, its exit code is reported
        stdin.write(msgspec.json.encode(request))
    return process
