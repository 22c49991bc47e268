"""`financelake import` starts what is missing where it can; elsewhere it says how to start the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_lake.cli.app import app
from finance_local.importing import on_demand
from finance_local.importing.command import import_files
from finance_local.importing.on_demand import JARS, missing_roles, started
from finance_local.importing.target import Target, TargetError
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_role.lock import hold
from finance_storage.paths import LakePaths
from tests.support.stack import free_port

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Return a lake that does not run."""
    folder, port = tmp_path / "data", free_port()
    for key, value in {"DATA_DIR": folder, "KAFKA_PORT": port, "KAFKA_BOOTSTRAP": "", "ENV_FILE": "/dev/null"}.items():
        monkeypatch.setenv(key, str(value))
    return Target(LakePaths(folder), f"127.0.0.1:{port}", "finance")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a checkout with jars."""
    (tmp_path / JARS).parent.mkdir(parents=True)
    (tmp_path / JARS).touch()
    return tmp_path


def test_a_stopped_lake_lacks_all_but_the_producer(target: Target, project: Path) -> None:
    assert missing_roles(target, project) == ["zookeeper", "kafka", "topic-init", "spark-job"]


def test_beside_a_running_broker_the_job_is_missing(target: Target, project: Path) -> None:
    with hold(target.paths.folder, "zookeeper"), hold(target.paths.folder, "kafka"):
        assert missing_roles(target, project) == ["topic-init", "spark-job"]


def test_nothing_is_started_where_no_jars_are(target: Target, tmp_path: Path) -> None:
    assert missing_roles(target, tmp_path) == []


def test_nothing_is_started_beside_a_job(target: Target, project: Path) -> None:
    with hold(target.paths.folder, "spark-job"):
        assert missing_roles(target, project) == []
    Heartbeat(heartbeat_file(target.paths.folder, "spark-job"), 60).beat()
    assert missing_roles(target, project) == []


def test_nothing_is_started_beside_containers(target: Target, project: Path) -> None:
    with hold(target.paths.folder, "kafka") as lock:
        lock.truncate(0)
        lock.write("container 0123456789ab, since 2026-11-28T00:00:00Z\n")
        lock.flush()
        assert missing_roles(target, project) == []


def test_a_folder_beside_a_lake_in_a_bucket_is_another_lake(
    target: Target, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3", "1")
    assert missing_roles(target, project) == []


def test_the_refusal_says_how_to_start_the_lake(target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_demand, "JARS", tmp_path / "none")
    if "import" not in {registered.name for registered in app.registered_commands}:
        app.command("import")(import_files)
    file = tmp_path / "trades.csv"
    file.write_text("symbol,price\nA,1\n")
    result = CliRunner().invoke(app, ["import", str(file), "--yes"])
    assert result.exit_code == 2
    assert f"The lake at {target.paths.root} does not run: no broker answers at {target.bootstrap}" in result.stderr
    assert "`make local` or `make up` starts the lake" in result.stderr
    assert not target.paths.folder.exists()


def test_a_start_that_fails_says_why(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIGGER_SECONDS", "never")
    refused = pytest.raises(TargetError, match=r"TRIGGER_SECONDS='never': .*\n.* did not start, and nothing is sent")
    with refused, started(target, ["spark-job"], lambda: False):
        pytest.fail("it did not start")
