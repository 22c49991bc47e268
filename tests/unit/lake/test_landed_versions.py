"""Lakes that earlier versions wrote (tests/fixtures): each command reads them, and the job goes on with them."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from finance_job.guard import open_lake
from finance_job.writer import Writer
from finance_lake.command import app
from finance_lake.state.accounting import Broker
from finance_lake.state.identity import read_identity
from finance_lake.state.layout import Layout
from tests.newer import know_later_columns

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
def layout(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """Unpack a lake; the broker that it came from is gone."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path / "data", filter="data")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)
    return Layout(tmp_path / "data")


def read(layout: Layout) -> None:
    for command in COMMANDS:
        result = CliRunner().invoke(app, [*command, "--data", str(layout.root)])
        assert result.exit_code == 0, (command, result.output)
        assert result.stdout
    Path("ticks.parquet").unlink()


def start(layout: Layout) -> Writer:
    identity = read_identity(layout)
    assert identity is not None
    broker = Broker(identity.cluster, identity.topic_id, identity.first, dict.fromkeys(identity.first, 10**6))
    return Writer(layout, open_lake(layout, identity.topic, broker))


def test_each_command_reads_it(layout: Layout) -> None:
    read(layout)


def test_the_job_goes_on_with_it(layout: Layout) -> None:
    assert start(layout).half_committed()
    read(layout)


def test_it_gets_columns_that_a_later_version_writes(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    know_later_columns(monkeypatch)
    start(layout)
    read(layout)
