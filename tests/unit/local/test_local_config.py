"""Which roles `make local` runs, and on which ports."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from finance_local.cluster_roles import all_roles
from finance_local.config import ALL_ROLES, Settings
from finance_local.roles import STARTING, STOPPING
from finance_local.validation import validated_or_exit


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("zookeeper kafka topic-init", ("zookeeper", "kafka", "topic-init")),
        ("spark-job", ("spark-job",)),
        ("producer,kafka", ("kafka", "producer")),
        (" producer ,\tkafka ", ("kafka", "producer")),
        ("kafka kafka", ("kafka",)),
        ("", ALL_ROLES),
    ],
)
def test_roles_are_chosen_by_name_and_run_in_their_own_order(
    text: str, roles: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLES", text)
    assert Settings().roles == roles


def test_an_unknown_role_is_named_with_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLES", "kafka spark")
    with pytest.raises(ValidationError, match=r"no such role: spark; the roles are zookeeper .* spark-job"):
        Settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("KAFKA_PORT", "0"),
        ("KAFKA_PORT", "65536"),
        ("ZOOKEEPER_PORT", "x"),
        ("KAFKA_CONTROLLER_PORT", "0"),
        ("KRAFT", "yes"),
        ("KAFKA_VERSION", "4"),  # without KRAFT=1
        ("RUN_SECONDS", "-1"),
        ("RUN_SECONDS", "inf"),
        ("ROLES", " , "),
    ],
)
def test_a_value_out_of_range_is_refused(key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(ValidationError, match=key.lower()):
        Settings()


def test_every_role_can_be_started_and_stopped() -> None:
    assert set(all_roles(Settings())) == set(ALL_ROLES)
    assert [name for stage in STARTING for name in sorted(stage) if name in ALL_ROLES] == list(ALL_ROLES)
    assert sorted(name for name in STOPPING if name in ALL_ROLES) == sorted(ALL_ROLES)


def test_writers_stop_before_the_broker_and_the_broker_before_zookeeper() -> None:
    order = [name for name in STOPPING if name in ALL_ROLES and name != "topic-init"]
    assert order == ["producer", "spark-job", "kafka", "zookeeper"]


@pytest.mark.parametrize("roles", ["", "zookeeper kafka topic-init producer spark-job"])
def test_kraft_runs_the_same_roles_without_zookeeper(roles: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRAFT", "1")
    monkeypatch.setenv("ROLES", roles)
    expected = ("kafka", "topic-init", "producer", "spark-job")
    assert Settings().roles == expected == tuple(all_roles(Settings()))


def test_only_zookeeper_cannot_run_with_kraft(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRAFT", "1")
    monkeypatch.setenv("ROLES", "zookeeper")
    with pytest.raises(ValidationError, match="with KRAFT=1 there is no zookeeper"):
        Settings()


def test_the_broker_has_zookeeper_or_its_own_controller_on_the_loopback_interface() -> None:
    with_zookeeper = all_roles(Settings())["kafka"].environment
    without = all_roles(Settings(kraft=True, kafka_controller_port=19093))["kafka"].environment
    assert dict(with_zookeeper.items() - without.items()) == {"ZOOKEEPER_CONNECT": "127.0.0.1:2181"}
    assert dict(without.items() - with_zookeeper.items()) == {"KAFKA_CONTROLLER": "127.0.0.1:19093"}


def test_all_other_roles_are_the_same_with_kraft() -> None:
    with_zookeeper, without = all_roles(Settings()), all_roles(Settings(kraft=True))
    for name in ("topic-init", "producer", "spark-job"):
        assert (with_zookeeper[name].command, with_zookeeper[name].environment) == (
            without[name].command,
            without[name].environment,
        )


def test_with_brokers_of_others_only_producer_and_job_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka-1.example.org:9092,10.0.0.7:9092")
    settings = Settings()
    assert settings.roles == ("producer", "spark-job") == tuple(all_roles(settings))
    assert settings.broker_ports == {}
    for role in all_roles(settings).values():
        assert role.environment["KAFKA_BOOTSTRAP"] == "kafka-1.example.org:9092,10.0.0.7:9092"


@pytest.mark.parametrize("others", ["", "kafka:9092"])
def test_without_a_tick_source_there_is_no_producer(others: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICK_SOURCE", "none")
    monkeypatch.setenv("KAFKA_BOOTSTRAP", others)
    assert Settings().roles == tuple(name for name in ALL_ROLES if name == "spark-job" or (name != "producer" and not others))


@pytest.mark.parametrize(
    "address", ["kafka", "kafka:", "kafka:port", "kafka:9092;other:9092", "kafka:9092,", "http://kafka:9092"]
)
def test_an_address_without_host_and_port_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", address)
    with pytest.raises(ValidationError, match="kafka_bootstrap"):
        Settings()


@pytest.mark.parametrize("key", ["KRAFT", "CLUSTER"])
def test_brokers_of_others_exclude_a_kind_of_own_ones(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv(key, "1")
    with pytest.raises(ValidationError, match="set neither with KAFKA_BOOTSTRAP"):
        Settings()


@pytest.mark.parametrize(
    "key", ["KAFKA_PARTITIONS", "KAFKA_RETENTION_HOURS", "TICK_SOURCE", "KAFKA_TOPIC", "KAFKA_REPLICATION"]
)
def test_a_wrong_key_that_only_the_check_of_the_topic_reads_is_one_sentence(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka:9092")
    monkeypatch.setenv(key, "?")
    with pytest.raises(SystemExit) as ended:
        validated_or_exit()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"{key}='?': ")


@pytest.mark.parametrize("name", [".", "..", "a b", "", "a" * 250, "tick/s"])
def test_a_name_that_kafka_refuses_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="kafka_topic"):
        Settings(kafka_topic=name)


@pytest.mark.parametrize("name", ["...", "-", "a" * 249, "Md.ticks_v1-EU"])
def test_any_name_that_kafka_allows_is_allowed(name: str) -> None:
    assert Settings(kafka_topic=name).kafka_topic == name
