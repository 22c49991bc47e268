"""A heartbeat file says until when its role counts as healthy; the role writes it, health checks and the supervisor read it.

    python -m finance_role.heartbeat data/run/producer.heartbeat

Only the role knows how long its silence may last (a producer of one tick in five seconds is silent for longer than one of a
thousand a second), so the file holds the deadline and not the time of the beat. Standard library only: a probe starts quickly.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from finance_role import beneath

MAX_BYTES = 100


def heartbeat_file(data_dir: Path, role: str) -> Path:
    """Where a role's heartbeat is."""
    return data_dir / "run" / f"{role}.heartbeat"


class Heartbeat:
    """The beating side. Each beat promises another one within `patience_seconds`."""

    def __init__(self, file: Path, patience_seconds: float) -> None:
        """Remove what an earlier run has left, so that a new start is not healthy on old beats."""
        self._file = file
        self._patience_seconds = patience_seconds
        self._next = 0.0
        beneath.remove(_lake(file), file)

    def beat(self) -> None:
        """Renew the promise; touches the disk at most once a second."""
        now = time.time()
        if now >= self._next:
            self._next = now + 1
            promise = f"{now + self._patience_seconds:.3f}\n"
            beneath.write_whole(_lake(self._file), self._file, promise.encode(), flush=False)


def is_alive(file: Path) -> bool:
    """Whether the role has promised to be alive now. What is no promise, such as a file cut short, is none."""
    try:
        return time.time() <= float(beneath.read(_lake(file), file, MAX_BYTES))
    except (FileNotFoundError, ValueError, beneath.IrregularError):
        return False


def _lake(file: Path) -> Path:
    """Give the folder of the lake that a heartbeat is in, as `heartbeat_file` makes it."""
    return file.parents[1]


if __name__ == "__main__":
    probed = Path(sys.argv[1])
    alive = is_alive(probed)
    print(f"{probed.name}: {'alive' if alive else 'silent for too long, or not started'}")
    sys.exit(0 if alive else 1)
