"""One process per role, however the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from finance_role.lock import AlreadyRunningError, hold, hold_or_exit, holder_of

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from pathlib import Path
from finance_role.lock import hold
lock = hold(Path(sys.argv[1]), "kafka")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    with hold(tmp_path, "kafka"), pytest.raises(AlreadyRunningError, match=rf"kafka already runs .*process {os.getpid()} on"):
        hold(tmp_path, "kafka")


def test_the_holder_of_a_role_is_known_while_it_runs(tmp_path: Path) -> None:
    with hold(tmp_path, "kafka"):
        assert holder_of(tmp_path, "kafka").startswith(f"process {os.getpid()} on ")
    assert holder_of(tmp_path, "kafka") == ""


def test_a_refusal_does_not_change_the_holder(tmp_path: Path) -> None:
    with hold(tmp_path, "kafka"):
        before = (tmp_path / "locks" / "kafka.lock").read_text()
        for _ in range(2):
            with pytest.raises(AlreadyRunningError):
                hold(tmp_path, "kafka")
        assert (tmp_path / "locks" / "kafka.lock").read_text() == before


def test_other_roles_and_other_lakes_are_free(tmp_path: Path) -> None:
    with hold(tmp_path, "kafka"), hold(tmp_path, "producer"), hold(tmp_path / "other", "kafka"):
        pass


def test_a_released_lock_can_be_acquired(tmp_path: Path) -> None:
    hold(tmp_path, "kafka").close()
    with hold(tmp_path, "kafka"):
        assert (tmp_path / "locks" / "kafka.lock").read_text().count("process") == 1


def test_a_killed_holder_releases_the_lock(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunningError, match=f"process {holder.pid} "):
            hold(tmp_path, "kafka")
        holder.kill()
        holder.wait(timeout=10)
        hold(tmp_path, "kafka").close()


def test_a_refused_role_exits_with_78_and_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with hold_or_exit(tmp_path, "producer"), pytest.raises(SystemExit) as caught:
        hold_or_exit(tmp_path, "producer")
    assert caught.value.code == 78
    assert "producer already runs" in capsys.readouterr().err
