"""Named places where a test can have the job die as kill -9 would: `FAILPOINT=before-ticks-commit` in the environment.

Nothing sets it but tests. The job dies whole, its JVM too: what a host's kernel or `docker kill` does.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "before-offsets",  # the query has not planned its next batch
    "after-offsets",  # it has; nothing of the batch is stored
    "in-data-files",  # a worker has written the first of its files
    "before-quarantine-commit",
    "after-quarantine-commit",  # between the commits to the two tables
    "before-ticks-commit",
    "after-ticks-commit",  # before Spark writes that the batch is done
    "after-commit-log",
)
_GROUP = "FAILPOINT_GROUP"


def arm() -> None:
    """Remember whom to kill; what this process starts inherits it."""
    os.environ[_GROUP] = str(os.getpgid(0))


def reach(point: str) -> None:
    """Die here if a test wants it."""
    if os.environ.get("FAILPOINT") == point:
        os.killpg(int(os.environ[_GROUP]), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)  # a Python worker is of another group
