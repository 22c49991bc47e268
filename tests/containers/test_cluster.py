"""The stack on three brokers and a Spark cluster (compose.cluster.yml): it stores ticks, also without one of each kind."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from finance_kafka.describe import describe_topic
from finance_local.config import CLUSTER_ROLES
from finance_role.spark_secret import make_secret
from tests.containers.test_kraft import is_complete, stores
from tests.containers.test_smoke import Containers, pytestmark
from tests.support.stack import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [*pytestmark, pytest.mark.faults]


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Containers]:
    environment = {
        "COMPOSE_PROJECT_NAME": "financelake-cluster",
        "COMPOSE_FILE": "docker-compose.yml:compose.cluster.yml",
        "KAFKA_PORT_2": str(free_port()),
        "KAFKA_PORT_3": str(free_port()),
    }
    with closing(Containers(tmp_path, **environment)) as containers:
        make_secret(containers.data)
        containers.chown_data()
        yield containers


def test_the_cluster_stores_ticks_and_goes_on_without_one_of_each_kind(lake: Containers) -> None:
    lake.up()
    stores(lake, 1000)
    containers = lake.inspect()
    assert set(containers) == set(CLUSTER_ROLES)
    for container in containers.values():
        for bindings in (container["HostConfig"]["PortBindings"] or {}).values():
            assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]
    secret = (lake.data / "secrets" / "spark").read_text().strip()
    described = lake.compose("config") + str([container["Config"] for container in containers.values()])
    assert secret not in described + lake.logs()
    ports = [lake.kafka_port, *(lake.environment[key] for key in ("KAFKA_PORT_2", "KAFKA_PORT_3"))]
    assert len(describe_topic(",".join(f"127.0.0.1:{port}" for port in ports), "finance").end) == 4

    for service in ("kafka-2", "spark-worker-1", "zookeeper-3", "spark-master"):
        lake.compose("kill", "--signal", "KILL", service)
        stores(lake, 1000)
        lake.compose("up", "--detach", "--wait", "--no-deps", service)
    assert is_complete(lake)
