"""Drop this process's right to change files with Landlock, available in Linux 5.13 and later (landlock(7))."""

from __future__ import annotations

import ctypes
import sys

# System call numbers, the same on all architectures; the C library has no functions for them.
CREATE_RULESET, RESTRICT_SELF = 444, 446
VERSION = 1  # flag of CREATE_RULESET: return the kernel's Landlock version
NO_NEW_PRIVILEGES = 38  # option of prctl; without it only root may restrict itself
WRITE_FILE = 1 << 1
REMOVE_OR_MAKE = 0b1_1111_1111 << 4
TRUNCATE, TRUNCATE_SINCE = 1 << 14, 3


def forbid_writing() -> bool:
    """Permanently drop this process's right to write, truncate, create or remove files. Open files stay open.

    Returns whether the kernel enforces it: systems other than Linux, and older kernels, do not.
    """
    if sys.platform != "linux":
        return False
    kernel = ctypes.CDLL(None)
    version = kernel.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    if version < 1:
        return False
    # Rights that a ruleset handles are denied unless one of its rules allows them.
    handled = ctypes.c_uint64(WRITE_FILE | REMOVE_OR_MAKE | (TRUNCATE if version >= TRUNCATE_SINCE else 0))
    ruleset = kernel.syscall(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(ctypes.sizeof(handled)), 0)
    if ruleset < 0 or kernel.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return bool(kernel.syscall(RESTRICT_SELF, ruleset, 0) == 0)
