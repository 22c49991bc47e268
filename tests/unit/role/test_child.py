"""What a process has started ends with it, however it ends."""

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

# The parent runs a child, by our own function, that says its number and then waits for ever.
PARENT = """
import os, sys
from finance_role import child
waits = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
sys.exit(child.run([sys.executable, "-I", "-S", "-c", waits], os.environ))
"""


def is_there(pid: int) -> bool:
    with suppress(OSError):
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while is_there(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_there(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number: signal.Signals) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        assert is_there(pid)
        parent.send_signal(number)
        assert wait_until_gone(pid)
        assert parent.wait(10) == (128 + signal.SIGTERM if number == signal.SIGTERM else -signal.SIGKILL)


@pytest.mark.parametrize("code", [0, 3])
def test_a_childs_exit_code_is_given(code: int) -> None:
    assert child.run([sys.executable, "-I", "-S", "-c", f"raise SystemExit({code})"], os.environ) == code


def test_a_child_gets_the_environment_that_it_is_given_and_the_handler_is_put_back() -> None:
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
