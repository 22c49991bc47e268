"""Configuration and storage of a broker without ZooKeeper, as run-broker writes them: a fake `java` records its calls."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Protocol

import pytest

BROKER = Path(__file__).parents[3] / "kafka" / "broker"
FORMAT, RUN = "kafka.tools.StorageTool format", "kafka.Kafka kraft/server.properties"
# Records its call beside itself; as StorageTool it writes what the real one does, or is killed after the first of two folders.
FAKE_JAVA = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/calls"
case "$*" in *StorageTool*)
  echo version=1 >kafka/meta.properties
  [ ! -e "$here/killed" ] || exit 137
  echo version=1 >kraft/meta.properties ;;
esac
"""


class Start(Protocol):
    """Runs run-broker to its end."""

    def __call__(self, **environment: str) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "a lake, with spaces"


@pytest.fixture
def start(java: Path, data: Path) -> Start:
    def run(**environment: str) -> subprocess.CompletedProcess[str]:
        variables = {
            "PATH": f"{java}:{os.environ['PATH']}",
            "DATA_DIR": str(data),
            "KAFKA_JARS": "/jars",
            "BROKER_CONF": str(BROKER),
            "KAFKA_CONTROLLER": "127.0.0.1:9093",
            "KAFKA_LISTENERS": "INTERNAL://0.0.0.0:19092,HOST://0.0.0.0:9092",
            "KAFKA_ADVERTISED": "INTERNAL://kafka:19092,HOST://127.0.0.1:9092",
            **environment,
        }
        return subprocess.run([BROKER / "run-broker"], env=variables, capture_output=True, text=True, timeout=30, check=False)

    return run


def calls(java: Path) -> list[str]:
    """Return what the fake Java was called for, without its options."""
    return re.findall(rf"{re.escape(FORMAT)}|{re.escape(RUN)}", (java / "calls").read_text())


def written(data: Path) -> dict[str, str]:
    lines = (data / "kraft" / "server.properties").read_text().splitlines()
    pairs = [line.split("=", 1) for line in lines if line and not line.startswith("#")]
    keys = [key for key, _ in pairs]
    assert sorted(keys) == sorted(set(keys)), "a key is set twice"
    return {pair[0]: pair[1] for pair in pairs}


def test_one_node_is_broker_and_controller_with_the_settings_of_every_broker(start: Start, data: Path) -> None:
    assert start().returncode == 0
    configuration = written(data)
    lines = (BROKER / "server.properties").read_text().splitlines()
    common = [line for line in lines if line and not line.startswith(("#", "zookeeper.", "broker.id="))]
    assert set(common) <= {f"{key}={value}" for key, value in configuration.items()}
    assert configuration["process.roles"] == "broker,controller"
    assert configuration["node.id"] == "0"
    assert configuration["controller.quorum.voters"] == "0@127.0.0.1:9093"
    assert not [key for key in configuration if key.startswith("zookeeper.") or key == "broker.id"]
    assert (configuration["log.dirs"], configuration["metadata.log.dir"]) == ("kafka", "kraft")


def test_the_controller_listens_beside_the_listeners_of_clients_and_is_not_advertised(start: Start, data: Path) -> None:
    assert start().returncode == 0
    configuration = written(data)
    assert configuration["listeners"] == "INTERNAL://0.0.0.0:19092,HOST://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093"
    assert configuration["advertised.listeners"] == "INTERNAL://kafka:19092,HOST://127.0.0.1:9092"
    assert configuration["controller.listener.names"] == "CONTROLLER"
    assert configuration["inter.broker.listener.name"] == "INTERNAL"
    assert "CONTROLLER:PLAINTEXT" in configuration["listener.security.protocol.map"]


def test_the_storage_is_formatted_once(start: Start, java: Path, data: Path) -> None:
    assert start().returncode == start().returncode == 0
    assert calls(java) == [FORMAT, RUN, RUN]
    cluster = (data / "kraft" / "cluster.id").read_text().strip()
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", cluster)
    assert f"--cluster-id {cluster} --config kraft/server.properties" in (java / "calls").read_text()


def test_two_lakes_are_two_clusters(start: Start, data: Path, tmp_path: Path) -> None:
    assert start().returncode == start(DATA_DIR=str(tmp_path / "other")).returncode == 0
    assert (data / "kraft" / "cluster.id").read_text() != (tmp_path / "other" / "kraft" / "cluster.id").read_text()


def test_a_start_that_was_killed_while_it_formatted_goes_on_with_the_same_cluster(start: Start, java: Path) -> None:
    (java / "killed").touch()
    assert start().returncode == 137
    (java / "killed").unlink()
    assert start().returncode == 0
    assert calls(java) == [FORMAT, FORMAT, RUN]
    assert len(set(re.findall(r"--cluster-id (\S+)", (java / "calls").read_text()))) == 1


def test_a_topic_whose_metadata_is_lost_is_not_taken_into_an_empty_cluster(start: Start, java: Path, data: Path) -> None:
    assert start().returncode == 0
    (data / "kafka" / "finance-0").mkdir()
    (data / "kafka" / "finance-0" / "partition.metadata").touch()
    (data / "kraft" / "meta.properties").unlink()
    refused = start()
    assert refused.returncode == 78
    assert "has lost the cluster's metadata: restore both folders from the same copy" in refused.stderr
    assert calls(java) == [FORMAT, RUN]


@pytest.mark.parametrize("place", ["kafka", "kraft", "kraft/server.properties", "kraft/__cluster_metadata-0"])
def test_no_link_is_followed(start: Start, data: Path, tmp_path: Path, place: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("precious")
    (data / place).parent.mkdir(parents=True)
    (data / place).symlink_to(outside / "file" if "." in place else outside)
    refused = start()
    assert refused.returncode == 78
    assert f"{data / place} is a symbolic link" in refused.stderr
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("file", "precious")]


def test_a_lake_with_zookeeper_is_refused_before_anything_is_written(start: Start, java: Path, data: Path) -> None:
    (data / "kafka").mkdir(parents=True)
    (data / "kafka" / "meta.properties").write_text("version=0\n")
    refused = start()
    assert refused.returncode == 78
    assert "runs Kafka with ZooKeeper: start it without KRAFT=1" in refused.stderr
    assert not (data / "kraft").exists()
    assert not (java / "calls").exists()


def test_a_lake_without_zookeeper_is_refused_with_it(start: Start, java: Path) -> None:
    assert start().returncode == 0
    refused = start(KAFKA_CONTROLLER="", ZOOKEEPER_CONNECT="127.0.0.1:1")
    assert refused.returncode == 78
    assert "start it with KRAFT=1" in refused.stderr
    assert calls(java) == [FORMAT, RUN]


def test_a_lake_that_has_run_kafka_4_is_refused_with_3_9(start: Start, java: Path) -> None:
    assert start(KAFKA_VERSION="3.9").returncode == 0
    assert start(KAFKA_VERSION="4").returncode == 0
    refused = start()
    assert refused.returncode == 78
    assert "has run Kafka 4, and Kafka 3.9 must not go on from there: start it with KAFKA_VERSION=4" in refused.stderr
    assert calls(java) == [FORMAT, RUN, RUN]
