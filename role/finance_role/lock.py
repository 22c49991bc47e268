"""One process per role: a running role holds the lock `data/locks/<role>.lock`.

It is a kernel lock (flock), so it is released when its holder ends, even on kill -9, and it works between containers and
processes of one machine. Between a Docker virtual machine (macOS) and its host it is not reliable.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import IO

from finance_role import beneath
from finance_role.exit_codes import REFUSED


class AlreadyRunningError(Exception):
    """Another process holds the role; `holder` is what it has written about itself."""

    def __init__(self, message: str, holder: str) -> None:
        """Accept the message and the holder."""
        super().__init__(message)
        self.holder = holder


def hold(data_dir: Path, role: str) -> IO[str]:
    """Acquire the role's lock; it is held until the returned file is closed. Raises AlreadyRunningError if it is taken.

    Raises beneath.IrregularError if something other than a regular file is in its place.
    """
    file = os.fdopen(beneath.append(data_dir, data_dir / "locks" / f"{role}.lock"), "a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        message = (
            f"{role} already runs on {data_dir} ({holder}): stop it first, `make down` for containers, Ctrl-C for `make local`."
        )
        raise AlreadyRunningError(message, holder) from None
    file.truncate(0)
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    file.write(f"process {os.getpid()} on {os.uname().nodename}, since {since}\n")
    file.flush()
    return file


def holder_of(data_dir: Path, role: str) -> str:
    """Return who holds the role's lock, as the holder has written it; empty if nobody does. Raises as `hold` does."""
    try:
        hold(data_dir, role).close()
    except AlreadyRunningError as error:
        return error.holder
    return ""


def hold_or_exit(data_dir: Path, role: str) -> IO[str]:
    """Acquire the role's lock; if that fails, print why and exit with code 78.

    Compose does not restart a role that exits with this code.
    """
    try:
        return hold(data_dir, role)
    except (AlreadyRunningError, beneath.IrregularError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(REFUSED)
