"""Containers acquire the lock in bash, local processes in Python: it is the same lock."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from finance_role.lock import AlreadyRunningError, hold

WITH_LOCK = Path(__file__).parents[3] / "kafka/broker/with-lock"

pytestmark = pytest.mark.skipif(shutil.which("flock") is None, reason="no flock command, as on macOS; containers have it")


def command(data_dir: Path, *inner: str) -> list[str]:
    return ["env", f"DATA_DIR={data_dir}", str(WITH_LOCK), "kafka", *inner]


def test_a_container_is_refused_while_a_local_process_has_the_role(tmp_path: Path) -> None:
    with hold(tmp_path, "kafka"):
        refused = subprocess.run(command(tmp_path, "echo", "started"), capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (78, "")
    assert f"kafka already runs on this data folder (process {os.getpid()} on " in refused.stderr


def test_a_local_process_is_refused_while_a_container_has_the_role(tmp_path: Path) -> None:
    with subprocess.Popen(
        command(tmp_path, "sh", "-c", "echo started; exec cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"started\n"
        with pytest.raises(AlreadyRunningError, match=r"kafka already runs .*\(container "):
            hold(tmp_path, "kafka")
        other.kill()
        other.wait(timeout=10)
        hold(tmp_path, "kafka").close()


def test_the_command_runs_under_the_lock_with_its_own_exit_code(tmp_path: Path) -> None:
    result = subprocess.run(
        command(tmp_path, "sh", "-c", 'echo "$0 $1"; exit 3', "a", "b c"), capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (3, "a b c\n")
    hold(tmp_path, "kafka").close()


def test_one_command_can_hold_two_locks(tmp_path: Path) -> None:
    inner = [str(WITH_LOCK), "zookeeper", "sh", "-c", "echo started; exec cat"]
    with subprocess.Popen(command(tmp_path, *inner), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"started\n"
        for role in ("kafka", "zookeeper"):
            with pytest.raises(AlreadyRunningError):
                hold(tmp_path, role)
        other.kill()
    for role in ("kafka", "zookeeper"):
        hold(tmp_path, role).close()
