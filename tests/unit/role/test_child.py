"""Child processes end with their parent, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from finance_role import child

# The parent runs a child with `child.run`; the child prints its process id and then waits forever.
PARENT = """
import os, sys
from finance_role import child
waits = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
sys.exit(child.run([sys.executable, "-I", "-S", "-c", waits], os.environ))
"""


def is_running(pid: int) -> bool:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until_ended(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number: signal.Signals) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux signals a child when its parent ends")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.send_signal(number)
        assert wait_until_ended(pid)
        assert parent.wait(10) == (128 + signal.SIGTERM if number == signal.SIGTERM else -signal.SIGKILL)


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_of_a_child_is_returned(code: int) -> None:
    assert child.run([sys.executable, "-I", "-S", "-c", f"raise SystemExit({code})"], os.environ) == code


def test_a_child_gets_the_given_environment_and_the_signal_handler_is_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import os; raise SystemExit(os.environ.get('ONE') != '1' or 'PATH' in os.environ)",
    ]
    assert child.run(command, {"ONE": "1"}) == 0
    assert signal.getsignal(signal.SIGTERM) == before
