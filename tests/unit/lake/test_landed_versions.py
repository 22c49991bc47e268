"""Lakes written by earlier versions (tests/fixtures): each command reads them, and the job continues them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finance_job.guard import open_lake
from finance_job.writer import Writer
from finance_kafka.describe import TopicDescription
from finance_lake.cli import app
from finance_storage.lake_identity import read_identity
from finance_storage.paths import LakePaths
from tests.support.newer_version import know_later_columns

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").glob("lake-*.tar.xz"))
COMMANDS = [
    ["status"],
    ["show"],
    ["bars"],
    ["bars", "--chart"],
    ["history"],
    ["sql", "SELECT * FROM ticks"],
    ["sql", "SELECT * FROM bars_1m"],
    ["sql", "SELECT * FROM latest"],
    ["sql", "SELECT * FROM quarantine"],
    ["tail", "--count", "1"],
    ["verify", "--no-broker"],
    ["quarantine"],
    ["export", "ticks.parquet"],
]


@pytest.fixture(params=FIXTURES, ids=lambda fixture: fixture.name)
def paths(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakePaths:
    """Unpack a lake; its broker does not exist."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return LakePaths(tmp_path / "data")


def read(paths: LakePaths) -> None:
    for command in COMMANDS:
        result = CliRunner().invoke(app, [*command, "--data", str(paths.root)])
        assert result.exit_code == 0, (command, result.output)
        assert result.stdout
    Path("ticks.parquet").unlink()


def start(paths: LakePaths) -> Writer:
    identity = read_identity(paths)
    assert identity is not None
    broker = TopicDescription(identity.cluster, identity.topic_id, identity.first, dict.fromkeys(identity.first, 10**6))
    return Writer(paths, open_lake(paths, identity.topic, broker))


def test_each_command_reads_an_older_lake(paths: LakePaths) -> None:
    read(paths)


def test_the_job_continues_an_older_lake(paths: LakePaths) -> None:
    assert start(paths).half_committed()
    read(paths)


def test_an_older_lake_gets_columns_of_a_later_version(paths: LakePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    start(paths)
    read(paths)
