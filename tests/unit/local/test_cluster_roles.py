"""The roles of `make local CLUSTER=1`: which there are, their order, ports and addresses."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from finance_local.cluster_roles import all_roles, ports_of
from finance_local.config import ALL_ROLES, BROKERS, CLUSTER_ROLES, OBJECT_STORE, WORKERS, ZOOKEEPERS, Settings
from finance_local.roles import STARTING, STOPPING
from finance_role.broker_kind import Kind

CLUSTER = Settings(cluster=True)


def test_the_cluster_has_three_zookeepers_three_brokers_a_master_and_two_workers() -> None:
    assert CLUSTER.roles == CLUSTER_ROLES
    assert set(all_roles(CLUSTER)) == set(CLUSTER_ROLES)
    assert CLUSTER.kind is Kind.CLUSTER
    assert set(CLUSTER_ROLES) - set(ALL_ROLES) == {*ZOOKEEPERS[1:], *BROKERS[1:], "spark-master", *WORKERS}


def test_roles_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "1")
    monkeypatch.setenv("ROLES", "spark-worker-2 kafka-3")
    assert Settings().roles == ("kafka-3", "spark-worker-2")
    monkeypatch.setenv("CLUSTER", "0")
    with pytest.raises(ValidationError, match="no such role: spark-worker-2 kafka-3"):
        Settings()


def test_kraft_and_the_cluster_exclude_each_other() -> None:
    with pytest.raises(ValidationError, match="set only one of KRAFT and CLUSTER"):
        Settings(kraft=True, cluster=True)


def test_all_nodes_of_a_kind_start_together_and_each_role_after_those_that_it_needs() -> None:
    order = [set(stage) & set(CLUSTER_ROLES) for stage in STARTING]
    assert order[:2] == [set(ZOOKEEPERS), set(BROKERS)]
    stage = {name: number for number, names in enumerate(order) for name in names}
    assert stage["spark-master"] < stage[WORKERS[0]] < stage["spark-job"]
    assert stage["kafka-3"] < stage["topic-init"] < stage["producer"]
    assert sorted(STOPPING) == sorted((*CLUSTER_ROLES, OBJECT_STORE))
    place = STOPPING.index
    assert place("producer") < place("spark-job") < place(WORKERS[0]) < place("spark-master")
    assert max(map(place, BROKERS)) < min(map(place, ZOOKEEPERS))


def test_no_two_roles_use_one_port_and_each_port_has_the_key_that_moves_it() -> None:
    ports = ports_of(CLUSTER)
    assert set(ports) == set(CLUSTER_ROLES) - {"topic-init", "producer"}
    used = Counter(port for listening in ports.values() for _, port in listening)
    assert set(used.values()) == {1}
    assert len(used) == 9 + 3 + 4 + 1
    moved = Settings(
        cluster=True,
        zookeeper_port=20_000,
        kafka_port=21_000,
        kafka_port_2=22_000,
        kafka_port_3=23_000,
        spark_master_port=24_000,
    )
    assert {port for listening in ports_of(moved).values() for _, port in listening} & used.keys() == {4040}


def test_every_node_knows_the_addresses_of_the_others() -> None:
    roles = all_roles(CLUSTER)
    servers = {roles[name].environment["ZOOKEEPER_SERVERS"] for name in ZOOKEEPERS}
    assert servers == {"127.0.0.1:2184:2187 127.0.0.1:2185:2188 127.0.0.1:2186:2189"}
    assert [roles[name].environment["ZOOKEEPER_NODE"] for name in ZOOKEEPERS] == ["1", "2", "3"]
    assert [roles[name].environment["KAFKA_NODE"] for name in BROKERS] == ["1", "2", "3"]
    for name in BROKERS:
        assert roles[name].environment["ZOOKEEPER_CONNECT"] == "127.0.0.1:2181,127.0.0.1:2182,127.0.0.1:2183"


def test_clients_know_all_brokers_and_the_topic_has_three_replicas() -> None:
    roles = all_roles(CLUSTER)
    for name in ("topic-init", "producer", "spark-job"):
        assert roles[name].environment["KAFKA_BOOTSTRAP"] == "127.0.0.1:9092,127.0.0.1:9094,127.0.0.1:9095"
    assert roles["topic-init"].environment["KAFKA_REPLICATION"] == "3"


def test_driver_master_and_workers_share_master_and_secret() -> None:
    roles = all_roles(CLUSTER)
    spark = [roles[name].environment for name in ("spark-master", *WORKERS, "spark-job")]
    assert {environment["SPARK_MASTER"] for environment in spark} == {"spark://127.0.0.1:7077"}
    assert len({environment["SPARK_SECRET_FILE"] for environment in spark}) == 1


def test_a_node_that_ends_is_started_again_because_the_others_go_on() -> None:
    roles = all_roles(CLUSTER)
    assert all(roles[name].restarts for name in (*ZOOKEEPERS, *BROKERS, "spark-master", *WORKERS))
    assert roles["spark-job"].restarts == all_roles(Settings())["zookeeper"].restarts == 0


def test_without_the_cluster_nothing_of_it_is_there() -> None:
    roles = all_roles(Settings())
    assert set(roles) == set(ALL_ROLES)
    keys = {key for role in roles.values() for key in role.environment}
    assert not {key for key in keys if key.startswith("SPARK") or "NODE" in key or "REPLICATION" in key}


@pytest.mark.parametrize("cluster", [False, True])
def test_the_object_store_starts_before_the_job_and_stops_after_it(*, cluster: bool) -> None:
    chosen = Settings(cluster=cluster, s3=True)
    assert set(chosen.roles) == {OBJECT_STORE, *(CLUSTER_ROLES if cluster else ALL_ROLES)}
    assert set(all_roles(chosen)) == set(chosen.roles)
    stage = {name: number for number, names in enumerate(STARTING) for name in names}
    assert stage[OBJECT_STORE] < stage["spark-job"]
    assert STOPPING.index(OBJECT_STORE) > max(map(STOPPING.index, ("producer", "spark-job", *WORKERS)))
    assert ports_of(chosen)[OBJECT_STORE] == [("S3_PORT", 7070)]


def test_without_s3_there_is_no_object_store() -> None:
    assert OBJECT_STORE not in Settings().roles
    assert OBJECT_STORE not in all_roles(Settings())
    assert OBJECT_STORE not in ports_of(Settings())
