"""Named places where a test can kill or stop the job, as `kill -9` or a stalled machine would.

`FAILPOINT=before-ticks-commit` in the environment kills the job there; `before-ticks-commit:stop` stops it (SIGSTOP). With
`@FILE` the text is read from a file, which a test may write and remove while the job runs. Only tests set it. The signal goes
to the whole process group, including the JVM, as it does from a host's kernel or `docker kill`.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

POINTS = (
    "before-offsets",  # before the query plans its next batch
    "after-offsets",  # the batch is planned, and nothing of it is stored
    "in-data-files",  # a worker has written the first of its files
    "before-quarantine-commit",
    "after-quarantine-commit",  # between the commits to the two tables
    "before-ticks-commit",
    "after-ticks-commit",  # before Spark marks the batch as done
    "after-commit-log",
)
# Around the commit that seals a day; its manifest is written.
SEAL_POINTS = ("before-seal-commit", "after-seal-commit")
# In the last step of `recover`: between its commits to the two tables, and after them.
RECOVER_POINTS = ("after-quarantine-restate", "after-ticks-restate")
_GROUP = "FAILPOINT_GROUP"


def arm() -> None:
    """Store the process group to signal in the environment, which child processes inherit."""
    os.environ[_GROUP] = str(os.getpgid(0))


def hit(point: str) -> None:
    """Kill or stop the job here if a test has asked for it."""
    name, _, action = _specification().partition(":")
    if name == point:
        number = signal.SIGSTOP if action == "stop" else signal.SIGKILL
        group = int(os.environ[_GROUP])
        os.killpg(group, number)
        if os.getpgid(0) != group:  # a Python worker
            os.kill(os.getpid(), number)
        time.sleep(1)  # another thread may take the signal: this one must not go on until the process has stopped


def _specification() -> str:
    text = os.environ.get("FAILPOINT", "")
    if text.startswith("@"):
        with suppress(FileNotFoundError):
            return Path(text[1:]).read_text().strip()
    return text
