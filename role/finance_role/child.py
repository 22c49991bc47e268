"""Start child processes that end with their parent, even if the parent is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from finance_role.exit_codes import SIGNALLED

PR_SET_PDEATHSIG = 1
# Loaded here, because little is safe between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> Callable[[], None]:
    """Return a `preexec_fn` that asks the kernel to send SIGTERM to the child when the calling thread ends.

    The calling thread must live as long as the process that it starts. Only Linux supports this; on other systems a process
    that is killed leaves its children behind.
    """
    parent = os.getpid()

    def request_signal() -> None:
        if _LIBC:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # the parent ended before the request
                os._exit(SIGNALLED + signal.SIGTERM)

    return request_signal


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return its exit code. SIGTERM to this process is passed on, and the command's end is awaited."""
    process = subprocess.Popen(command, env=environment, preexec_fn=end_with_parent())  # noqa: PLW1509 (it makes one system call)
    received: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        process.terminate()

    before = signal.signal(signal.SIGTERM, forward)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return SIGNALLED + received[0] if received else code
