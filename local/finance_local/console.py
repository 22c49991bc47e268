"""Show the log lines of all roles on one terminal and write them to one file, with a prefix, and with colours if supported."""

from __future__ import annotations

import logging
import os
import re
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from io import TextIOWrapper

COLOURS = {"zookeeper": "yellow", "kafka": "magenta", "topic-init": "blue", "producer": "green", "spark-job": "cyan"}
WIDTH = max(map(len, COLOURS))
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 3
# A batch without malformed records. Any other line is always shown.
QUIET_BATCH = re.compile(r"\[info\s*\] batch id=\d+ rows=(\d+) good=\d+ quarantined=0 ")
SHOWN_FIRST = 20
CONDENSED_SECONDS = 60.0


def log_file(data_dir: Path) -> Path:
    """Return the path of the log file, which has all lines that were sent to the terminal."""
    return data_dir / "run" / "local.log"


class Terminal:
    """The output of the supervisor: terminal and log file."""

    def __init__(self, file: Path | None = None) -> None:
        """Write to standard output, whose capabilities rich detects, and to `file` if there is one."""
        self._console = Console(soft_wrap=True, highlight=False)
        self._log = _rotated(file) if file else None
        self._condenser = Condenser(time.monotonic) if self._console.is_terminal else None

    def line(self, role: str, text: str) -> None:
        """Show a line of a role's output; unprintable characters in it are replaced."""
        printable = "".join(
            letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
        )
        self._note(f"{role:<{WIDTH}} | {printable}")
        for line in self._condenser.shown(printable) if self._condenser else (printable,):
            self._console.print(Text.assemble((f"{role:<{WIDTH}} | ", COLOURS.get(role, "")), line))

    def say(self, text: str) -> None:
        """Show a message of the supervisor itself."""
        self._note(text)
        self._console.print(Text(text, style="bold"))

    def close(self) -> None:
        """Close the log file."""
        if self._log:
            self._log.close()

    def _note(self, text: str) -> None:
        if self._log:
            timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._log.emit(logging.makeLogRecord({"msg": f"{timestamp} {text}"}))


class Condenser:
    """Condenses output: after the first batches, lines of batches without malformed records become one line a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with no lines held back; `clock` returns seconds."""
        self._clock = clock
        self._seen = self._batches = self._rows = 0
        self._since = clock()

    def shown(self, text: str) -> Iterator[str]:
        """Yield the lines to show after receiving this one: the line itself, a summary, or nothing yet."""
        batch = QUIET_BATCH.search(text)
        if not batch or self._seen < SHOWN_FIRST:
            yield from self._summary()
            yield text
            self._seen += 1 if batch else 0
            return
        self._batches += 1
        self._rows += int(batch[1])
        if self._clock() - self._since >= CONDENSED_SECONDS:
            yield from self._summary()

    def _summary(self) -> Iterator[str]:
        if self._batches:
            yield f"{self._batches} batches, {self._rows:,} rows, none quarantined; run/local.log has each"
        self._batches = self._rows = 0
        self._since = self._clock()


class _OwnFile(RotatingFileHandler):
    """The log file `run/local.log`, opened without following links."""

    def _open(self) -> TextIOWrapper:
        file = Path(self.baseFilename)
        descriptor = beneath.append(file.parents[1], file)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Drop the line: on a full disk the roles themselves report the error."""


def _rotated(file: Path) -> RotatingFileHandler:
    return _OwnFile(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
