"""Log lines of the roles on one terminal and in one file: a prefix, a colour where the terminal has colours."""

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
# A batch in which nothing needs to be looked at. Any other line, such as one with malformed records, is shown whatever happens.
QUIET_BATCH = re.compile(r"\[info\s*\] batch id=\d+ rows=(\d+) good=\d+ quarantined=0 ")
SHOWN_FIRST = 20
CONDENSED_SECONDS = 60.0


def log_file(data_dir: Path) -> Path:
    """Where all that the terminal was told is kept."""
    return data_dir / "run" / "local.log"


class Terminal:
    """Where the supervisor writes."""

    def __init__(self, file: Path | None = None) -> None:
        """Write to standard output, where rich finds out what it can show, and to a file if there is one to be."""
        self._console = Console(soft_wrap=True, highlight=False)
        self._log = _rotated(file) if file else None
        self._condenser = Condenser(time.monotonic) if self._console.is_terminal else None

    def line(self, role: str, text: str) -> None:
        """Show a line of a role's output; control characters in it do not reach the terminal."""
        printable = "".join(
            letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
        )
        self._note(f"{role:<{WIDTH}} | {printable}")
        for shown in self._condenser.shown(printable) if self._condenser else (printable,):
            self._console.print(Text.assemble((f"{role:<{WIDTH}} | ", COLOURS.get(role, "")), shown))

    def say(self, text: str) -> None:
        """Show a sentence of the supervisor's own."""
        self._note(text)
        self._console.print(Text(text, style="bold"))

    def close(self) -> None:
        """Let go of the file."""
        if self._log:
            self._log.close()

    def _note(self, text: str) -> None:
        if self._log:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self._log.emit(logging.makeLogRecord({"msg": f"{moment} {text}"}))


class Condenser:
    """The lines of a quiet hour: after the first batches, those with nothing to look at become one line a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin with nothing held back; `clock` gives seconds."""
        self._clock = clock
        self._seen = self._batches = self._rows = 0
        self._since = clock()

    def shown(self, text: str) -> Iterator[str]:
        """Give what is to be shown now that this line has come: itself, a sum, or nothing yet."""
        batch = QUIET_BATCH.search(text)
        if not batch or self._seen < SHOWN_FIRST:
            yield from self._sum()
            yield text
            self._seen += 1 if batch else 0
            return
        self._batches += 1
        self._rows += int(batch[1])
        if self._clock() - self._since >= CONDENSED_SECONDS:
            yield from self._sum()

    def _sum(self) -> Iterator[str]:
        if self._batches:
            yield f"{self._batches} batches, {self._rows:,} rows, none quarantined; run/local.log has each"
        self._batches = self._rows = 0
        self._since = self._clock()


class _OwnFile(RotatingFileHandler):
    """A log file of the lake's, `run/local.log`."""

    def _open(self) -> TextIOWrapper:
        file = Path(self.baseFilename)
        descriptor = beneath.append(file.parents[1], file)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        """Go on without the line: a full disk is the roles' to complain of, not that of their log."""


def _rotated(file: Path) -> RotatingFileHandler:
    return _OwnFile(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES)
