"""Cut processes off from the network: the kernel drops the packets of their connections, old and new, in both directions.

Only root may do that, on Linux with iptables. The processes are those of a group id that nothing else has.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_GROUP, GROUPS = 61_000, 4_000


class Network:
    """The network of a group of processes: mark their connections with `watched`, then `cut` those that are marked."""

    def __init__(self) -> None:
        """Choose a group; `group` is for the processes that may be cut off."""
        self.group = FIRST_GROUP + os.getpid() % GROUPS

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Mark all connections that the group opens or accepts from now on; yield whether that is permitted."""
        mark = ("OUTPUT", "--table", "mangle", "-m", "owner", "--gid-owner", str(self.group))
        with ExitStack() as rules:
            yield rules.enter_context(_rule(*mark, "-j", "CONNMARK", "--set-mark", str(self.group)))

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Drop every packet of a marked connection. New ones are marked with their first packet, so they are dropped too."""
        with ExitStack() as rules:
            for chain in ("OUTPUT", "INPUT"):
                is_cut = rules.enter_context(_rule(chain, "-m", "connmark", "--mark", str(self.group), "-j", "DROP"))
                assert is_cut, "the network can be watched, so it can be cut"
            yield


@contextmanager
def _rule(*words: str) -> Iterator[bool]:
    """Add a rule of the kernel's packet filter; yield whether that is permitted."""
    is_added = _iptables("--insert", *words)
    try:
        yield is_added
    finally:
        if is_added:
            assert _iptables("--delete", *words)


def _iptables(*words: str) -> bool:
    try:
        return subprocess.run(["iptables", "--wait", *words], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
