"""Run a command in a pseudo-terminal: what it writes, and what a person types, Ctrl-C too."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Self

from tests.support.stack import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CTRL_C = "\x03"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A command whose input, output and errors are a terminal. It is killed at the end of the block."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        """Start the command in a folder."""
        self._ours, theirs = pty.openpty()
        self._text = ""
        self._seen = 0
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, "TERM": "xterm", "COLUMNS": "200"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (so that Ctrl-C is a signal)
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        """Return the terminal."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the command if it still runs."""
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        """Type text."""
        os.write(self._ours, text.encode())

    def expect(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for text after what was expected before; colours and movements of the cursor do not count."""
        deadline = time.monotonic() + seconds * PATIENCE
        while not (match := re.compile(pattern).search(self._text, self._seen)):
            assert time.monotonic() < deadline, f"{pattern!r} not in\n{self._text}"
            assert self.runs(), f"ended with {self._process.wait()} before {pattern!r}:\n{self._text}"
        self._seen = match.end()
        return match

    def end(self, seconds: float = 60) -> int:
        """Wait for the end of the command; return its exit code."""
        deadline = time.monotonic() + seconds * PATIENCE
        while self.runs():
            assert time.monotonic() < deadline, f"still runs:\n{self._text}"
        return self._process.wait()

    def runs(self) -> bool:
        """Take what the command has written, so that it can write more; false at its end."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # Linux says so that the other side is closed
            return False
        self._text += ESCAPES.sub("", piece.decode(errors="replace"))
        return bool(piece)
