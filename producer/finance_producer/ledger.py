"""The ledger of a run: which of its numbered ticks the broker has acknowledged.

`data/ledger/<source>.jsonl` holds a JSON object a line:

    {"source": "sim-7-20261124T120000Z-3fa9c1", "topic": "finance", "started": "2026-11-24T12:00:00+00:00", "settings": {...}}
    {"acknowledged": [[0, 4999], [6000, 6999]]}
    {"acknowledged": [[5000, 5999], [7000, 7041]], "failed": [[7042, 7042]]}
    {"ended": "2026-11-24T12:01:00+00:00", "made": 7043, "acknowledged": 7042, "unsent": 1, "malformed": 0}

A range `[first, last]` counts both ends; no number is in two ranges. `acknowledged`: the tick is in the topic, once.
`failed`: the client gave up on it, and it may or may not be in the topic. Of a number in neither, nothing is known: the run was
killed, or has not heard of it, or written of it, yet. A run that stopped by itself has the line with `ended`, and knows all.

Lines are appended whole about once a second, so a torn one is the mark of a crashed machine or a full disk, and is the last.
lake/finance_lake/proof/ledger.py reads them.
"""

from __future__ import annotations

import os
import secrets
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

WRITE_SECONDS = 1.0

Range = tuple[int, int]


def new_source(kind: str) -> str:
    """Name a run as no other is named, in printable ASCII, at most 64 characters."""
    return f"{kind[:32]}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def ledger_file(data_dir: Path, source: str) -> Path:
    """Where the ledger of a source is."""
    return data_dir / "ledger" / f"{source}.jsonl"


class Ledger:
    """The writing side. Raises OSError when the disk does not take what is written."""

    def __init__(self, file: Path, header: dict[str, Any], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin the file with the header: `source`, `topic` and what else identifies the run."""
        self._monotonic = monotonic
        self._written = monotonic()
        self._acknowledged: list[Range] = []
        self._failed: list[Range] = []
        self._descriptor = beneath.create(file.parents[1], file)
        self._append(header | {"started": _now()})

    def note(self, acknowledged: Iterable[Range], failed: Iterable[Range]) -> None:
        """Take down what became of ticks, each of them once."""
        self._acknowledged.extend(acknowledged)
        self._failed.extend(failed)

    def write(self) -> None:
        """Append what was taken down, if the last time was `WRITE_SECONDS` ago."""
        if self._monotonic() - self._written >= WRITE_SECONDS:
            self._write()

    def close(self, **figures: int) -> None:
        """Append what is left, and the last line."""
        self._write()
        self._append({"ended": _now(), **figures})
        os.close(self._descriptor)

    def _write(self) -> None:
        self._written = self._monotonic()
        noted = {"acknowledged": merged(self._acknowledged), "failed": merged(self._failed)}
        if line := {name: ranges for name, ranges in noted.items() if ranges}:
            self._append(line)
            self._acknowledged.clear()
            self._failed.clear()

    def _append(self, line: dict[str, Any]) -> None:
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._descriptor).st_size
        if os.write(self._descriptor, data) != len(data):
            # Away with the part, or the next line would be glued to it.
            os.ftruncate(self._descriptor, size)
            raise OSError(f"the disk took only a part of a line of the ledger, {len(data)} bytes")


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Sort ranges, and join those that touch."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first == joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
