"""The stack without ZooKeeper (compose.kraft.yml), and a lake of containers that is migrated to it (docs/KRAFT.md)."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from finance_kafka.describe import describe_topic
from finance_storage.lake_identity import read_identity
from tests.containers.test_smoke import SERVICES, Containers, pytestmark
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [*pytestmark, pytest.mark.faults]
BOTH_FILES = "docker-compose.yml:compose.kraft.yml"
MIGRATE = ("with-lock", "zookeeper", "with-lock", "kafka", "migrate-to-kraft")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Containers]:
    with closing(Containers(tmp_path, COMPOSE_PROJECT_NAME="financelake-kraft")) as containers:
        yield containers


def stores(lake: Containers, more: int) -> None:
    before = lake.rows()
    wait_until(lambda: lake.rows() > before + more, 180, lambda: f"rows go on\n{lake.logs()}")


def is_complete(lake: Containers) -> bool:
    lake.compose("stop", "producer")
    end = describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").end
    wait_until(lambda: lake.rows() >= sum(end.values()), 180, lambda: f"the tables reach the end offsets\n{lake.logs()}")
    verdict = lake.compose("exec", "--no-TTY", "spark-job", "python", "-m", "finance_lake", "verify", "--values")
    return verdict.splitlines()[-1].startswith("complete: 0 lost, 0 doubled")


def test_the_stack_without_zookeeper_stores_ticks_and_survives_a_kill_of_the_broker(lake: Containers) -> None:
    lake.environment["COMPOSE_FILE"] = BOTH_FILES
    lake.up()
    stores(lake, 1000)
    containers = lake.inspect()
    assert set(containers) == SERVICES - {"zookeeper"}
    for bindings in (containers["kafka"]["HostConfig"]["PortBindings"] or {}).values():
        assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]
    lake.compose("kill", "--signal", "KILL", "kafka")
    lake.up()
    stores(lake, 1000)
    assert is_complete(lake)
    del lake.environment["COMPOSE_FILE"]
    lake.compose("down", "--timeout", "60")  # without the overlay too
    assert lake.compose("ps", "--all", "--quiet") == ""


def test_a_lake_of_containers_is_migrated_and_goes_on_as_the_same_lake(lake: Containers) -> None:
    lake.up()
    stores(lake, 1000)
    lake.compose("down", "--timeout", "60")
    identity = read_identity(lake.paths)

    lake.compose("build", "zookeeper", seconds=900)
    assert "runs without ZooKeeper from now on" in lake.compose("run", "--rm", "--no-deps", "kafka", *MIGRATE, seconds=300)

    lake.environment["COMPOSE_FILE"] = BOTH_FILES
    lake.up()
    stores(lake, 1000)
    assert is_complete(lake)
    assert identity is not None
    assert identity == read_identity(lake.paths)
    assert describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").cluster == identity.cluster
