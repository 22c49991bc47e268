"""The verify command: flags, exit codes, and output streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_kafka import describe
from finance_kafka.describe import TopicNotFoundError
from finance_lake import cli
from finance_lake.config import Settings
from finance_storage.paths import TICKS
from tests.support.lakes import no_broker
from tests.support.tampering import drop

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from finance_kafka.describe import TopicDescription
    from tests.support.lakes import BuiltLake


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("DATA_DIR", "KAFKA_BOOTSTRAP", "KAFKA_PORT", "KAFKA_TOPIC"):
        monkeypatch.delenv(key, raising=False)


def run(lake: BuiltLake, *flags: str) -> Result:
    return CliRunner().invoke(cli.app, ["verify", "--data", str(lake.paths.root), *flags])


@pytest.fixture
def queries(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Make the lake's broker answer; return the queries that it receives."""
    queries = []

    def ask(bootstrap: str, topic: str) -> TopicDescription:
        queries.append((bootstrap, topic))
        return lake.broker

    monkeypatch.setattr(describe, "describe_topic", ask)
    return queries


def test_a_complete_lake_exits_with_0_and_a_sentence(lake: BuiltLake, queries: list[tuple[str, str]]) -> None:
    result = run(lake)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("complete: 0 lost, 0 doubled, 16 rows and 3 quarantined")
    assert result.stderr == "Next: `financelake quarantine` shows the malformed records.\n"
    assert queries == [("127.0.0.1:9092", "finance")]


def test_both_verdicts_are_printed(lake: BuiltLake, queries: list[tuple[str, str]]) -> None:
    lines = run(lake).stdout.splitlines()
    assert lines[-3:-1] == ["pipeline: complete", "producers: complete, 15 ticks acknowledged, 0 more in the table"]
    assert queries


def test_a_finding_is_a_line_and_decides_the_exit_code(lake: BuiltLake, queries: list[tuple[str, str]]) -> None:
    drop(lake, TICKS, 0, 3)
    result = run(lake)
    assert result.exit_code == 11
    assert result.stdout.splitlines()[0] == "gap: 1 offsets are in neither table (partition 0: 3)"
    assert result.stdout.splitlines()[-1].startswith("gap: 1 lost")
    assert result.stderr == "Next: `make recover` shows how it would repair the tables, and asks before it changes anything.\n"
    assert queries


def test_json_is_one_object_and_nothing_else(lake: BuiltLake, queries: list[tuple[str, str]]) -> None:
    drop(lake, TICKS, 0, 3)
    result = run(lake, "--json")
    assert result.exit_code == json.loads(result.stdout)["code"] == 11
    assert result.stderr == ""
    assert queries


def test_no_broker_makes_no_query(lake: BuiltLake, queries: list[tuple[str, str]]) -> None:
    result = run(lake, "--no-broker")
    assert result.exit_code == 0
    assert "only the files were checked" in result.stdout
    assert not queries


def test_an_unreachable_broker_gives_no_verdict(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(describe, "describe_topic", no_broker)
    result = run(lake, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "no broker answers at 127.0.0.1:9092. Start it, or check the files only with --no-broker.\n"


def test_a_broker_without_the_topic_is_an_identity_finding(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: str) -> TopicDescription:
        raise TopicNotFoundError("the broker at 127.0.0.1:9092 has no topic finance")

    monkeypatch.setattr(describe, "describe_topic", ask)
    result = run(lake)
    assert result.exit_code == 14
    assert "has no topic finance" in result.stdout


@pytest.mark.parametrize("flags", [["--values", "--no-broker"], ["--nonsense"], ["--data"]])
def test_wrong_flags_exit_with_2(flags: list[str]) -> None:
    assert CliRunner().invoke(cli.app, ["verify", *flags]).exit_code == 2


def test_without_a_lake_it_exits_with_2_and_names_the_commands(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.app, ["verify", "--no-broker", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "`make local` or `make up`" in result.stderr


def test_lake_and_broker_are_set_by_the_environment(lake: BuiltLake) -> None:
    environment = {**os.environ, "DATA_DIR": str(lake.paths.root), "KAFKA_TOPIC": "other"}
    run_command = [sys.executable, "-m", "finance_lake", "verify", "--no-broker"]
    verified = subprocess.run(run_command, capture_output=True, text=True, env=environment)
    assert verified.returncode == 14
    assert "KAFKA_TOPIC is other, the lake holds topic finance" in verified.stdout
    assert verified.stderr == "Next: docs/RELIABILITY.md lists the possible causes and their fixes.\n"


def test_kafka_bootstrap_overrides_kafka_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "9093")
    assert Settings().broker_addresses == "127.0.0.1:9093"
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:19092")
    assert Settings().broker_addresses == "kafka:19092"


def test_a_wrong_setting_exits_with_2(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "many")
    assert run(lake).exit_code == 2
