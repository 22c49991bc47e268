"""Processes that end with the one that started them, also when that is killed and can end nobody any more."""

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
# Loaded here, and not between fork and exec, where little may be done.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> Callable[[], None]:
    """Give what a new process is to do before it begins: ask the kernel for SIGTERM when the calling thread's process ends.

    The calling thread must live as long as the process that it starts. Other kernels than Linux have no such thing: there a
    process that is killed leaves its children behind.
    """
    parent = os.getpid()

    def ask() -> None:
        if _LIBC:
            _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it ended before it was asked
                os._exit(SIGNALLED + signal.SIGTERM)

    return ask


def run(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command to its end and give its exit code; SIGTERM to this process ends it too, and is waited for."""
    process = subprocess.Popen(command, env=environment, preexec_fn=end_with_parent())  # noqa: PLW1509 (it makes one system call)
    received: list[int] = []

    def hand_on(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        process.terminate()

    before = signal.signal(signal.SIGTERM, hand_on)
    try:
        code = process.wait()
    except BaseException:
        process.terminate()
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    return SIGNALLED + received[0] if received else code
