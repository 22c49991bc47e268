"""Heartbeat files: a role writes until when it counts as healthy; health checks and the supervisor read it.

    python -m finance_role.heartbeat data/run/producer.heartbeat

Only the role knows how long it may go without a beat (a producer of one tick in five seconds longer than one of a thousand a
second), so the file has the deadline and not the time of the beat. Standard library only, so that a probe starts quickly.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from finance_role import beneath

MAX_BYTES = 100


def heartbeat_file(data_dir: Path, role: str) -> Path:
    """Return the path of a role's heartbeat file."""
    return data_dir / "run" / f"{role}.heartbeat"


class Heartbeat:
    """Writes a heartbeat file. Each beat promises another one within `patience_seconds`."""

    def __init__(self, file: Path, patience_seconds: float) -> None:
        """Remove the file of an earlier run, so that a new start does not look healthy because of old beats."""
        self._file = file
        self._patience_seconds = patience_seconds
        self._next = 0.0
        beneath.remove(_lake(file), file)

    def beat(self) -> None:
        """Extend the deadline; writes the file at most once a second."""
        now = time.time()
        if now >= self._next:
            self._next = now + 1
            deadline = f"{now + self._patience_seconds:.3f}\n"
            beneath.write_whole(_lake(self._file), self._file, deadline.encode(), flush=False)


def is_alive(file: Path) -> bool:
    """Whether the deadline in the file has not passed. A missing or invalid file counts as not alive."""
    try:
        return time.time() <= float(beneath.read(_lake(file), file, MAX_BYTES))
    except (FileNotFoundError, ValueError, beneath.IrregularError):
        return False


def _lake(file: Path) -> Path:
    """Return the lake's folder of a heartbeat file, as laid out by `heartbeat_file`."""
    return file.parents[1]


if __name__ == "__main__":
    probed = Path(sys.argv[1])
    alive = is_alive(probed)
    print(f"{probed.name}: {'alive' if alive else 'no heartbeat in time, or not started'}")
    sys.exit(0 if alive else 1)
