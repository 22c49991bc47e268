"""One of several ZooKeeper nodes or brokers, as run-zookeeper and run-broker start it: a fake `java` prints its options."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from tests.unit.role.test_run_java import BROKER, start

if TYPE_CHECKING:
    from pathlib import Path

FAKE_JAVA = '#!/bin/sh\nprintf "%s\\n" "$@"; echo; env | sort; echo; pwd; umask\n'
SERVERS = "a:2888:3888 b:2888:3888 c:2888:3888"
ZOOKEEPER = "version=0\nbroker.id=0\ncluster.id=jsYnYnzZS2O3X3MrKeUFaQ\n"


def overrides(java: Path, data: Path, **environment: str) -> dict[str, str]:
    options = start("run-broker", java, data, **environment)[0].splitlines()
    return dict(option.split("=", 1) for option in options if "=" in option and not option.startswith("-"))


@pytest.mark.parametrize(("node", "folder"), [("1", "zookeeper"), ("2", "zookeeper-2"), ("3", "zookeeper-3")])
def test_a_zookeeper_node_has_its_number_its_folder_and_the_list_of_all(
    java: Path, tmp_path: Path, node: str, folder: str
) -> None:
    data = tmp_path / "data"
    options, *_ = start("run-zookeeper", java, data, ZOOKEEPER_NODE=node, ZOOKEEPER_SERVERS=SERVERS)
    assert (data / folder / "myid").read_text() == f"{node}\n"
    lines = (data / folder / "zoo.cfg").read_text().splitlines()
    assert f"dataDir=./{folder}" in lines
    assert [line for line in lines if line.startswith("server.")] == [
        "server.1=a:2888:3888",
        "server.2=b:2888:3888",
        "server.3=c:2888:3888",
    ]
    assert f"-Djava.io.tmpdir={data}/run/tmp/{folder}" in options.splitlines()
    assert options.splitlines()[-1] == f"./{folder}/zoo.cfg"


def test_a_single_zookeeper_has_neither_number_nor_list(java: Path, tmp_path: Path) -> None:
    start("run-zookeeper", java, tmp_path / "data")
    assert [path.name for path in (tmp_path / "data" / "zookeeper").iterdir()] == ["zoo.cfg"]
    assert "server." not in (tmp_path / "data" / "zookeeper" / "zoo.cfg").read_text()


@pytest.mark.parametrize(("node", "broker", "folder"), [("1", "0", "kafka"), ("2", "1", "kafka-2"), ("3", "2", "kafka-3")])
def test_a_broker_has_its_id_its_folder_and_replicated_internal_topics(
    java: Path, tmp_path: Path, node: str, broker: str, folder: str
) -> None:
    found = overrides(java, tmp_path / "data", KAFKA_NODE=node, KAFKA_REPLICATION="3")
    assert (found["broker.id"], found["log.dirs"]) == (broker, folder)
    assert {key: value for key, value in found.items() if "replica" in key or "isr" in key} == {
        "default.replication.factor": "3",
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "min.insync.replicas": "2",
    }


def test_a_single_broker_overrides_no_replication(java: Path, tmp_path: Path) -> None:
    found = overrides(java, tmp_path / "data")
    assert (found["broker.id"], found["log.dirs"]) == ("0", "kafka")
    assert not [key for key in found if "replica" in key or "isr" in key]


def test_one_of_several_is_refused_on_a_lake_with_one_broker_and_the_other_way_round(java: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "kafka").mkdir(parents=True)
    (tmp_path / "one" / "kafka" / "meta.properties").write_text(ZOOKEEPER)
    (tmp_path / "three" / "zookeeper-2").mkdir(parents=True)
    with pytest.raises(AssertionError, match="start it without CLUSTER=1"):
        start("run-broker", java, tmp_path / "one", KAFKA_NODE="1")
    with pytest.raises(AssertionError, match="start it without CLUSTER=1"):
        start("run-zookeeper", java, tmp_path / "one", ZOOKEEPER_SERVERS=SERVERS)
    for script in ("run-broker", "run-zookeeper"):
        with pytest.raises(AssertionError, match="start it with CLUSTER=1"):
            start(script, java, tmp_path / "three")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"Zookeeper version: 3.8.6\nLatency min/avg/max: 0/0.0/0\nMode: follower\nNode count: 5\n", 0),
        (b"Zookeeper version: 3.8.6\nMode: standalone\nNode count: 5\n", 0),
        (b"This ZooKeeper instance is not currently serving requests\n", 1),
        (b"", 1),
    ],
    ids=["one of several", "single", "without the others", "silent"],
)
def test_zookeeper_is_ready_when_it_serves_requests(reply: bytes, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                assert connection.recv(4) == b"srvr"
                connection.sendall(reply)

        answering = threading.Thread(target=answer)
        answering.start()
        command = [str(BROKER / "probe-zookeeper"), "127.0.0.1", str(server.getsockname()[1])]
        probed = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False, timeout=30)
        answering.join()
    assert probed.returncode == code
