"""The secret of a Spark cluster, and the probe of its processes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Any

import pytest

from finance_job.config import secret_of
from finance_role import beneath
from finance_role.probe_spark import works
from finance_role.spark_secret import make_secret

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_is_drawn_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = make_secret(tmp_path / "data")
    drawn = secret_of(file)
    assert make_secret(tmp_path / "data") == file
    assert secret_of(file) == drawn
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["spark"]


def test_two_lakes_have_two_secrets(tmp_path: Path) -> None:
    assert secret_of(make_secret(tmp_path / "a")) != secret_of(make_secret(tmp_path / "b"))


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secrets").symlink_to(tmp_path / "outside")
    with pytest.raises(beneath.IrregularError):
        make_secret(tmp_path / "data")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"status": "ALIVE", "workers": []}, True),
        ({"status": "RECOVERING", "workers": []}, False),
        ({"status": "STANDBY", "workers": []}, False),
        ({"masterwebuiurl": "http://127.0.0.1:7078", "executors": []}, True),
        ({"masterwebuiurl": "", "executors": []}, False),
        ({}, False),
    ],
)
def test_a_master_works_when_it_is_active_and_a_worker_when_it_is_registered(state: dict[str, Any], *, expected: bool) -> None:
    assert works(state) is expected
