"""The doctor command, on machines with tools and ports made by the test."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_kafka.describe import TopicDescription
from finance_lake import checks
from finance_lake.cli import app
from finance_lake.config import Settings
from finance_role.environment import foreign
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.paths import LakePaths
from tests.support.lakes import BuiltLake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

JAVA = "echo 'openjdk version \"17.0.9\"' >&2"
DOCKER = "echo 26.1"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that puts scripts named `java` and `docker` on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return make


@pytest.fixture(autouse=True)
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Set free ports for all services; return Kafka's."""
    with socket.socket() as kafka, socket.socket() as zookeeper, socket.socket() as spark:
        for probe in (kafka, zookeeper, spark):
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in (kafka, zookeeper, spark)]
    for key, number in zip(("KAFKA_PORT", "ZOOKEEPER_PORT", "SPARK_UI_PORT"), ports, strict=True):
        monkeypatch.setenv(key, str(number))
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)
    for key in foreign():
        monkeypatch.delenv(key)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return int(ports[0])


def doctor(folder: Path, *flags: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--data", str(folder), *flags])


@pytest.mark.parametrize(
    ("scripts", "code", "ways"),
    [
        ({"java": JAVA, "docker": DOCKER}, 0, ["make local", "make up"]),
        ({"java": JAVA}, 0, ["make local"]),
        ({"docker": DOCKER}, 0, ["make up"]),
        ({"java": "echo 'openjdk version \"11.0.2\"' >&2", "docker": '[ "$1" = compose ] && echo 2.26'}, 1, []),
        ({}, 1, []),
    ],
)
def test_doctor_fails_only_if_the_lake_can_run_in_neither_way(
    tools: Callable[..., None], tmp_path: Path, scripts: dict[str, str], code: int, ways: list[str]
) -> None:
    tools(**scripts)
    result = doctor(tmp_path / "data", "--json")
    assert result.exit_code == code
    answer = json.loads(result.stdout)
    assert (answer["possible"], answer["runs"]) == (ways, False)


def test_what_is_missing_is_shown_with_its_fix(tools: Callable[..., None], tmp_path: Path) -> None:
    tools(docker='[ "$1" = compose ] && echo 2.26')
    result = doctor(tmp_path / "data")
    text = result.stdout
    assert "openjdk-17-jre-headless" in text
    assert "no engine responds (make up cannot work)" in text
    assert "sudo systemctl start docker" in text
    assert "The lake cannot run here yet." in text
    assert result.stderr == "Next: fix what is marked with !, then run `financelake doctor` again.\n"


def test_a_port_of_another_program_is_in_use(tools: Callable[..., None], tmp_path: Path, port: int) -> None:
    tools(java=JAVA, docker=DOCKER)
    with socket.create_server(("127.0.0.1", port)):
        result = doctor(tmp_path / "data")
    assert result.exit_code == 1
    assert f"{port} is in use by another program" in result.stdout
    assert "set KAFKA_PORT in .env" in result.stdout


def test_the_port_of_the_lakes_own_broker_is_fine(
    tools: Callable[..., None], tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(java=JAVA)
    built = BuiltLake(tmp_path / "data")
    answers = {"own": built.broker, "foreign": TopicDescription("another-cluster", "a-topic", {}, {})}
    monkeypatch.setattr(checks, "_advertised", lambda _: [("127.0.0.1", port), ("kafka.invalid", 19092)])
    with socket.create_server(("127.0.0.1", port)):
        monkeypatch.setattr(checks, "describe_topic", lambda *_: answers["own"])
        own = doctor(built.paths.root)
        monkeypatch.setattr(checks, "describe_topic", lambda *_: answers["foreign"])
        foreign = doctor(built.paths.root)
    assert (own.exit_code, foreign.exit_code) == (0, 1)
    assert f"{port} is used by this lake" in own.stdout
    assert "the broker advertises kafka.invalid:19092" in own.stdout
    assert "use the listener of this machine" in own.stdout
    assert "The lake can run with `make local`." in own.stdout
    assert own.stderr == "Next: `make local`.\n"
    Heartbeat(heartbeat_file(built.paths.root, "spark-job"), 60).beat()
    monkeypatch.setattr(checks, "describe_topic", lambda *_: answers["own"])
    with socket.create_server(("127.0.0.1", port)):
        assert "The lake is running." in doctor(built.paths.root).stdout


def test_a_full_disk_and_too_little_memory_are_reported(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(java=JAVA)
    monkeypatch.setattr(checks, "DISK_GB", 10**9)
    monkeypatch.setattr(checks, "MEMORY_GB", 10**9)
    result = doctor(tmp_path / "data")
    assert result.exit_code == 1
    assert "GB free (make local and make up cannot work)" in result.stdout
    assert "SPARK_HEAP" in result.stdout


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_of_another_user_is_reported_with_the_command(tools: Callable[..., None], tmp_path: Path) -> None:
    tools(java=JAVA)
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    assert "sudo chown -R" in doctor(folder).stdout


def found(folder: Path) -> dict[str, dict[str, object]]:
    answer = json.loads(doctor(folder, "--json").stdout)
    return {check["name"]: check for check in answer["checks"]}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SPARK_HOME", "/opt/spark-3.2"),
        ("JAVA_TOOL_OPTIONS", "-Duser.language=ar"),
        ("HADOOP_CONF_DIR", "/etc"),
        ("KAFKA_OPTS", "-Dx"),
    ],
)
def test_variables_that_are_not_passed_on_are_named(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    tools(java=JAVA)
    assert found(tmp_path / "data")["environment"]["found"] == "no conflicting variables"
    monkeypatch.setenv(variable, value)
    check = found(tmp_path / "data")["environment"]
    assert (check["fine"], check["found"]) == (True, f"{variable}: set here, but not passed on to the lake")


def test_a_stale_java_home_is_reported_and_does_not_fail(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(java=JAVA)
    monkeypatch.setenv("JAVA_HOME", "/opt/java-that-was-removed")
    monkeypatch.setenv("SPARK_HOME", "/opt/spark-3.2")
    result = doctor(tmp_path / "data")
    assert "JAVA_HOME=/opt/java-that-was-removed has no Java 17" in result.stdout
    assert "SPARK_HOME: set here, but not passed on" in result.stdout
    assert "unset JAVA_HOME" in result.stdout
    assert result.exit_code == 0


def test_a_java_home_that_works_is_enough(tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools()
    (tmp_path / "java" / "bin").mkdir(parents=True)
    (tmp_path / "java" / "bin" / "java").write_text(f"#!/bin/sh\n{JAVA}\n")
    (tmp_path / "java" / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))
    assert found(tmp_path / "data")["Java"]["found"] == "version 17"


def test_a_noexec_volume_is_reported_with_its_fix(tools: Callable[..., None], tmp_path: Path) -> None:
    tools(java=JAVA)
    folder = tmp_path / "data"
    folder.mkdir()
    mount = "/bin/mount"
    how = ["-t", "tmpfs", "-o", "noexec,size=1m"]
    if os.getuid() or subprocess.run([mount, *how, "none", folder], check=False, capture_output=True).returncode:
        pytest.skip("this machine mounts no volume")
    try:
        result = doctor(folder)
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)
    assert "cannot be executed (make local and make up cannot work)" in result.stdout
    assert "mounted noexec" in result.stdout
    assert result.exit_code == 1


def test_a_project_path_with_a_colon_is_reported(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(java=JAVA)
    monkeypatch.setattr(checks, "PROJECT", tmp_path / "a:b")
    check = found(tmp_path / "data")["project"]
    assert (check["fine"], check["needed"]) == (False, ["make local"])
    assert "colon" in str(check["mend"])


def test_a_terminal_that_is_not_utf_8_is_reported(
    tools: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools(java=JAVA)

    class Latin:
        encoding = "ISO-8859-1"

    monkeypatch.setattr(sys, "__stdout__", Latin())
    check = found(tmp_path / "data")["encoding"]
    assert check["found"] == "this terminal uses ISO-8859-1"
    assert "export LANG=C.UTF-8" in str(check["mend"])


@pytest.mark.parametrize("chosen", ["by the lake", "by the setting"])
def test_without_zookeeper_the_controllers_port_is_checked(
    tools: Callable[..., None], tmp_path: Path, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools()
    if chosen == "by the lake":
        (tmp_path / "kraft").mkdir()
    else:
        monkeypatch.setenv("KRAFT", "1")
    checks = {check["name"]: check for check in json.loads(doctor(tmp_path, "--json").stdout)["checks"]}
    assert "ZOOKEEPER_PORT" not in checks
    assert checks["KAFKA_CONTROLLER_PORT"]["needed"] == ["make local"]


@pytest.mark.parametrize("answers", [True, False])
def test_brokers_of_others_must_respond_and_need_no_ports_here(
    answers: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setattr(checks, "_advertised", lambda _: [("127.0.0.1", 1)] if answers else [])
    found = {check.name: check for check in checks.examine(LakePaths(tmp_path), Settings()).checks}
    assert found["KAFKA_BOOTSTRAP"].fine is answers
    assert not {"KAFKA_PORT", "ZOOKEEPER_PORT", "KAFKA_CONTROLLER_PORT"} & found.keys()
