"""The kernel's own promise that this process changes no file: Landlock, of Linux 5.13 and later (landlock(7))."""

from __future__ import annotations

import ctypes
import sys

# The same numbers on all architectures; the C library has no functions for them.
CREATE_RULESET, RESTRICT_SELF = 444, 446
VERSION = 1  # a flag of CREATE_RULESET: ask for the kernel's version of Landlock
NO_NEW_PRIVILEGES = 38  # of prctl; without it only root may restrict itself
WRITE_FILE = 1 << 1
REMOVE_OR_MAKE = 0b1_1111_1111 << 4
TRUNCATE, TRUNCATE_SINCE = 1 << 14, 3


def renounce_writing() -> bool:
    """Take from this process, for good, the right to write, truncate, make or remove files; those that are open stay so.

    Returns whether the kernel has done it: others than Linux do not, older ones neither.
    """
    if sys.platform != "linux":
        return False
    kernel = ctypes.CDLL(None)
    version = kernel.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    if version < 1:
        return False
    # What a ruleset handles and no rule of it allows is forbidden.
    handled = ctypes.c_uint64(WRITE_FILE | REMOVE_OR_MAKE | (TRUNCATE if version >= TRUNCATE_SINCE else 0))
    ruleset = kernel.syscall(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(ctypes.sizeof(handled)), 0)
    if ruleset < 0 or kernel.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(kernel.syscall(RESTRICT_SELF, ruleset, 0) == 0)
