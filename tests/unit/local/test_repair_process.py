"""A repair that is terminated or killed ends the processes that it has started."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

CODE = """
import sys
from finance_local import repair
sys.executable, sys.argv = {program!r}, ["repair", "redrive"]
sys.exit(repair.main())
"""


def runs(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)])
def test_the_jobs_command_ends_with_the_repair(tmp_path: Path, number: signal.Signals, code: int) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux signals a child when its parent ends")
    program = tmp_path / "waits"
    program.write_text("#!/bin/sh\necho $$\nexec sleep 60\n")
    program.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-c", CODE.format(program=str(program))]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as repair:
        assert repair.stdout
        pid = int(repair.stdout.readline())
        repair.send_signal(number)
        assert repair.wait(20) == code
        deadline = time.monotonic() + 20
        while runs(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not runs(pid)
