"""A heartbeat has a deadline until which its role counts as alive."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from finance_role.heartbeat import Heartbeat, heartbeat_file, is_alive

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1_764_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stopped = Clock()
    monkeypatch.setattr(time, "time", stopped)
    return stopped


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return heartbeat_file(tmp_path, "spark-job")


def test_the_file_is_where_health_checks_expect_it(tmp_path: Path) -> None:
    assert heartbeat_file(tmp_path, "producer") == tmp_path / "run" / "producer.heartbeat"


def test_a_role_that_has_not_begun_is_not_alive(file: Path) -> None:
    assert not is_alive(file)


def test_a_start_alone_is_not_a_beat_and_removes_the_beat_of_an_earlier_run(file: Path, clock: Clock) -> None:
    Heartbeat(file, 1000).beat()
    assert is_alive(file)
    clock.now += 1
    Heartbeat(file, 1000)
    assert not is_alive(file)


def test_a_role_is_alive_until_its_patience_ends(file: Path, clock: Clock) -> None:
    Heartbeat(file, 5).beat()
    clock.now += 5
    assert is_alive(file)
    clock.now += 0.01
    assert not is_alive(file)


def test_another_beat_extends_the_deadline(file: Path, clock: Clock) -> None:
    heartbeat = Heartbeat(file, 5)
    heartbeat.beat()
    clock.now += 4
    heartbeat.beat()
    clock.now += 4
    assert is_alive(file)


def test_the_file_is_written_at_most_once_a_second(file: Path, clock: Clock) -> None:
    heartbeat = Heartbeat(file, 5)
    heartbeat.beat()
    file.unlink()
    clock.now += 0.5
    heartbeat.beat()
    assert not file.exists()
    clock.now += 0.5
    heartbeat.beat()
    assert file.exists()


def test_no_temporary_file_remains(file: Path) -> None:
    Heartbeat(file, 5).beat()
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(("patience", "code", "word"), [(60, 0, "alive"), (-1, 1, "no heartbeat in time")])
def test_the_exit_code_of_the_probe_says_whether_the_role_is_alive(file: Path, patience: float, code: int, word: str) -> None:
    Heartbeat(file, patience).beat()
    probe = subprocess.run(
        [sys.executable, "-m", "finance_role.heartbeat", str(file)], capture_output=True, text=True, check=False
    )
    assert (probe.returncode, word in probe.stdout) == (code, True)
