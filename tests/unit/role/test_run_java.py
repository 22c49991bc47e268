"""The options and environment of Kafka and ZooKeeper: a fake `java` prints what it was called with."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.disk import small_disk
from tests.unit.role.test_environment import HARMFUL, LOCALES

BROKER = Path(__file__).parents[3] / "kafka" / "broker"
FAKE_JAVA = '#!/bin/sh\nprintf "%s\\n" "$@"; echo; env | sort; echo; pwd; umask\n'
LISTENERS = {
    "ZOOKEEPER_BIND": "127.0.0.1",
    "ZOOKEEPER_PORT": "1",
    "ZOOKEEPER_CONNECT": "127.0.0.1:1",
    "KAFKA_LISTENERS": "HOST://x:1",
}


def start(script: str, java: Path, data: Path, **environment: str) -> list[str]:
    variables = {
        "PATH": f"{java}:{os.environ['PATH']}",
        "DATA_DIR": str(data),
        "KAFKA_JARS": "/jars of ours",
        "BROKER_CONF": str(BROKER),
        "KAFKA_ADVERTISED": "HOST://x:1",
        **LISTENERS,
        **environment,
    }
    result = subprocess.run([BROKER / script], env=variables, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\n\n")


@pytest.mark.parametrize("script", ["run-broker", "run-zookeeper"])
@pytest.mark.parametrize("locale", LOCALES)
def test_language_time_zone_and_encoding_are_fixed_and_the_callers_variables_are_dropped(
    java: Path, tmp_path: Path, script: str, locale: str
) -> None:
    hostile = {key: value for key, value in HARMFUL.items() if key != "LD_PRELOAD"}
    options, environment, _ = start(script, java, tmp_path / "data", LANG=locale, LC_ALL=locale, TZ="Asia/Kathmandu", **hostile)
    expected = {"-Duser.language=en", "-Duser.country=US", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8"}
    assert expected <= set(options.splitlines())
    names = {line.partition("=")[0] for line in environment.splitlines()}
    assert names <= {"PATH", "HOME", "LANG", "LC_ALL", "TZ", "PWD", "_", "SHLVL", "OLDPWD"}
    assert {"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC"} <= set(environment.splitlines())


@pytest.mark.parametrize(
    "name", ["data", "with a space", "a,b", "per%20cent", "back\\slash", 'quote"d', "d\u00fcrr \u4e2d", "*", "date=1"]
)
@pytest.mark.parametrize("script", ["run-broker", "run-zookeeper"])
def test_the_path_of_the_lake_is_literal(java: Path, tmp_path: Path, script: str, name: str) -> None:
    data = tmp_path / name
    options, _, last = start(script, java, data)
    assert f"-Djava.io.tmpdir={data}/run/tmp/{'kafka' if script == 'run-broker' else 'zookeeper'}" in options.splitlines()
    assert last.splitlines() == [str(data), "0027"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "bin"] == [name]
    if script == "run-broker":
        assert "log.dirs=kafka" in options.splitlines()
    else:
        assert "dataDir=./zookeeper\n" in (data / "zookeeper" / "zoo.cfg").read_text()


def test_a_test_adds_options_before_those_of_the_role(java: Path, tmp_path: Path) -> None:
    options = start("run-broker", java, tmp_path / "data", JVM_OF_TESTS="-Xint -Dmade=up")[0].splitlines()
    assert options.index("-Xint") + 1 == options.index("-Dmade=up") < options.index("-XX:+UseG1GC")


def test_a_java_home_that_does_not_exist_is_ignored(java: Path, tmp_path: Path) -> None:
    assert start("run-zookeeper", java, tmp_path / "data", JAVA_HOME="/opt/java-that-was-removed")


def test_the_umask_is_that_of_the_setting(java: Path, tmp_path: Path) -> None:
    assert start("run-broker", java, tmp_path / "data", DATA_UMASK="0022")[2].splitlines()[1] == "0022"


def test_temporary_files_of_an_earlier_run_are_removed(java: Path, tmp_path: Path) -> None:
    left = tmp_path / "data" / "run" / "tmp" / "kafka" / "libzstd.so"
    left.parent.mkdir(parents=True)
    left.touch()
    start("run-broker", java, tmp_path / "data")
    assert not left.exists()


def test_a_volume_without_execution_is_refused_with_a_sentence(java: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with small_disk(data, "noexec") as disk:
        if disk is None:
            pytest.skip("no permission to mount a volume")
        variables = {"PATH": f"{java}:{os.environ['PATH']}", "DATA_DIR": str(data)}
        result = subprocess.run([BROKER / "run-java", "kafka"], env=variables, capture_output=True, text=True)
    assert result.returncode == 78
    assert "noexec" in result.stderr
    assert "DATA_DIR" in result.stderr
