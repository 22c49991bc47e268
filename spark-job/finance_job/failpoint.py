"""Named places where a test can kill or stop the job, as `kill -9` or a stalled machine would.

`FAILPOINT=before-ticks-commit` in the environment kills it there, `before-ticks-commit:stop` stops it (SIGSTOP). `@FILE` has
the same text in a file, which a test may write and remove while the job runs. Nothing sets it but tests. The signal goes to
the whole job, its JVM too: what a host's kernel or `docker kill` does.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

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
    """Remember whom to signal; what this process starts inherits it."""
    os.environ[_GROUP] = str(os.getpgid(0))


def hit(point: str) -> None:
    """Die or stop here if a test wants it."""
    name, _, action = _wanted().partition(":")
    if name == point:
        number = signal.SIGSTOP if action == "stop" else signal.SIGKILL
        group = int(os.environ[_GROUP])
        os.killpg(group, number)
        if os.getpgid(0) != group:  # a Python worker
            os.kill(os.getpid(), number)


def _wanted() -> str:
    wanted = os.environ.get("FAILPOINT", "")
    if wanted.startswith("@"):
        with suppress(FileNotFoundError):
            return Path(wanted[1:]).read_text().strip()
    return wanted
