"""How topic-init creates and compares a topic, with a fake admin client."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from finance_topic import topic
from finance_topic.config import Settings

if TYPE_CHECKING:
    from confluent_kafka.admin import NewTopic

CONFIG = Settings().topic_config()
REQUIRED = topic.Required(4, 1, CONFIG)


class Admin:
    """A cluster with the topic `finance`, whose partitions have as many replicas as `replicas` says.

    The first `deaf` metadata requests fail, and the first `unaware` descriptions lack the topic. One more broker has joined at
    each request, up to `brokers`.
    """

    def __init__(
        self, replicas: tuple[int, ...] = (1, 1, 1, 1), config: dict[str, str] | None = None, deaf: int = 0, unaware: int = 0
    ) -> None:
        self.replicas = replicas
        self.config = {"segment.bytes": "1073741824", **CONFIG, **(config or {})}
        self.deaf = deaf
        self.unaware = unaware
        self.requests = 0
        self.brokers = 10**9
        self.created: list[NewTopic] = []

    def list_topics(self, **_: Any) -> Any:  # noqa: ANN401
        self.requests += 1
        if self.requests <= self.deaf:
            raise KafkaException("no answer")
        return SimpleNamespace(topics={"finance": object()}, brokers=range(min(self.requests, self.brokers)))

    def create_topics(self, new_topics: list[NewTopic], **_: Any) -> dict[str, Future[Any]]:  # noqa: ANN401
        self.created += new_topics
        codes = {"finance": KafkaError.TOPIC_ALREADY_EXISTS, "no/topic": KafkaError.TOPIC_EXCEPTION}
        answers: dict[str, Future[Any]] = {new.topic: Future() for new in new_topics}
        for name, answer in answers.items():
            if code := codes.get(name):
                answer.set_exception(KafkaException(KafkaError(code)))
            else:
                answer.set_result(None)
        return answers

    def describe_topics(self, topics: Any, **_: Any) -> dict[str, Future[Any]]:  # noqa: ANN401
        self.requests += 1
        return {name: self._described(name) for name in topics.topic_names}

    def _described(self, name: str) -> Future[Any]:
        if name == "finance" and self.requests > self.unaware:
            partitions = [SimpleNamespace(replicas=list(range(count))) for count in self.replicas]
            return _done(SimpleNamespace(partitions=partitions, topic_id="an-id"))
        unknown: Future[Any] = Future()
        unknown.set_exception(KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)))
        return unknown

    def describe_configs(self, resources: list[Any], **_: Any) -> dict[Any, Future[Any]]:  # noqa: ANN401
        entries = {name: SimpleNamespace(value=value) for name, value in self.config.items()}
        return {resource: _done(entries) for resource in resources}


class Names:
    """Replaces confluent_kafka's TopicCollection, whose names cannot be read."""

    def __init__(self, topic_names: list[str]) -> None:
        self.topic_names = topic_names


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic, "TopicCollection", Names)


def _done(result: Any) -> Future[Any]:  # noqa: ANN401
    future: Future[Any] = Future()
    future.set_result(result)
    return future


def differences(admin: Any) -> list[str]:  # noqa: ANN401
    return topic.differences(topic.wait_for_topic(admin, "finance", 0), REQUIRED)


def test_a_topic_with_the_required_settings_has_no_differences() -> None:
    assert differences(Admin()) == []


def test_all_differences_are_named() -> None:
    assert differences(Admin((2, 2, 2), {"retention.ms": "1", "cleanup.policy": "compact"})) == [
        "3 partitions, not 4",
        "2 replicas of each partition, not 1",
        "cleanup.policy=compact, not delete",
        "retention.ms=1, not 604800000",
    ]


@pytest.mark.parametrize("key", CONFIG)
def test_each_setting_is_compared(key: str) -> None:
    assert differences(Admin(config={key: "other"})) == [f"{key}=other, not {CONFIG[key]}"]


def test_the_topic_is_not_compacted_and_uses_the_brokers_clock() -> None:
    assert CONFIG["cleanup.policy"] == "delete"
    assert CONFIG["message.timestamp.type"] == "LogAppendTime"
    assert int(CONFIG["max.message.bytes"]) == 1024 * 1024


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "4")])
def test_a_tick_is_acknowledged_when_all_replicas_but_one_have_it(replication: int, in_sync: str) -> None:
    config = Settings(kafka_replication=replication).topic_config()
    assert config["min.insync.replicas"] == in_sync
    assert config["unclean.leader.election.enable"] == "false"


def test_the_weakest_partition_is_the_topics_replication() -> None:
    described = topic.wait_for_topic(Admin((3, 3, 2, 3)), "finance", 0)  # type: ignore[arg-type]
    assert topic.differences(described, topic.Required(4, 3, CONFIG)) == ["2 replicas of each partition, not 3"]


def test_it_waits_until_as_many_brokers_have_joined_as_the_topic_has_replicas() -> None:
    admin: Any = Admin()
    topic.wait_for_brokers(admin, 3, 60)
    assert admin.requests == 3


def test_a_cluster_that_stays_too_small_is_named_with_both_numbers() -> None:
    admin: Any = Admin()
    admin.brokers = 2
    with pytest.raises(topic.TooFewBrokersError, match="2 of the 3 brokers that KAFKA_REPLICATION=3 needs"):
        topic.wait_for_brokers(admin, 3, 0.5)


def test_the_topic_is_created_with_its_replication() -> None:
    admin: Any = Admin()
    topic.create(admin, "finances", topic.Required(6, 3, CONFIG))
    (new,) = admin.created
    assert (new.num_partitions, new.replication_factor, new.config) == (6, 3, CONFIG)


def test_retention_is_given_in_hours() -> None:
    assert Settings(kafka_retention_hours=2).topic_config()["retention.ms"] == "7200000"


def test_it_waits_for_a_broker_that_answers_late() -> None:
    admin: Any = Admin(deaf=3)
    topic.wait_for_brokers(admin, 1, 60)
    assert admin.requests == 4


def test_it_gives_up_on_a_broker_that_never_answers() -> None:
    admin: Any = Admin(deaf=10**9)
    with pytest.raises(KafkaException):
        topic.wait_for_brokers(admin, 1, 0.05)


def test_an_existing_topic_is_not_created_again() -> None:
    admin: Any = Admin()
    assert not topic.create(admin, "finance", REQUIRED)
    assert topic.create(admin, "finances", REQUIRED)


def test_a_topic_that_cannot_be_created_is_an_error() -> None:
    admin: Any = Admin()
    with pytest.raises(KafkaException, match="Invalid topic"):
        topic.create(admin, "no/topic", REQUIRED)


def test_it_waits_until_a_new_broker_knows_the_topic() -> None:
    admin: Any = Admin(unaware=2)
    topic.wait_for_topic(admin, "finance", 60)
    assert admin.requests == 3


def test_a_topic_that_stays_unknown_is_an_error() -> None:
    with pytest.raises(KafkaException, match="Unknown topic"):
        topic.wait_for_topic(Admin(), "finances", 0)  # type: ignore[arg-type]


def test_the_topics_id_is_that_of_the_broker() -> None:
    admin: Any = Admin()
    assert topic.wait_for_topic(admin, "finance", 0).id == "an-id"
