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

REQUIRED = Settings().topic_config()


class Admin:
    """A broker with the topic `finance`. The first `deaf` metadata requests fail; the first `unaware` descriptions lack it."""

    def __init__(self, partitions: int = 4, config: dict[str, str] | None = None, deaf: int = 0, unaware: int = 0) -> None:
        self.partitions = partitions
        self.config = {"segment.bytes": "1073741824", **REQUIRED, **(config or {})}
        self.deaf = deaf
        self.unaware = unaware
        self.requests = 0

    def list_topics(self, **_: Any) -> Any:  # noqa: ANN401
        self.requests += 1
        if self.requests <= self.deaf:
            raise KafkaException("no answer")
        return SimpleNamespace(topics={"finance": object()})

    def create_topics(self, new_topics: list[NewTopic], **_: Any) -> dict[str, Future[Any]]:  # noqa: ANN401
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
            return _done(SimpleNamespace(partitions=list(range(self.partitions)), topic_id="an-id"))
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
    return topic.differences(topic.wait_for_topic(admin, "finance", 0), 4, REQUIRED)


def test_a_topic_with_the_required_settings_has_no_differences() -> None:
    assert differences(Admin()) == []


def test_all_differences_are_named() -> None:
    assert differences(Admin(3, {"retention.ms": "1", "cleanup.policy": "compact"})) == [
        "3 partitions, not 4",
        "cleanup.policy=compact, not delete",
        "retention.ms=1, not 604800000",
    ]


@pytest.mark.parametrize("key", REQUIRED)
def test_each_setting_is_compared(key: str) -> None:
    assert differences(Admin(config={key: "other"})) == [f"{key}=other, not {REQUIRED[key]}"]


def test_the_topic_is_not_compacted_and_uses_the_brokers_clock() -> None:
    assert REQUIRED["cleanup.policy"] == "delete"
    assert REQUIRED["message.timestamp.type"] == "LogAppendTime"
    assert int(REQUIRED["max.message.bytes"]) == 1024 * 1024


def test_retention_is_given_in_hours() -> None:
    assert Settings(kafka_retention_hours=2).topic_config()["retention.ms"] == "7200000"


def test_it_waits_for_a_broker_that_answers_late() -> None:
    admin: Any = Admin(deaf=3)
    topic.wait_for_broker(admin, 60)
    assert admin.requests == 4


def test_it_gives_up_on_a_broker_that_never_answers() -> None:
    admin: Any = Admin(deaf=10**9)
    with pytest.raises(KafkaException):
        topic.wait_for_broker(admin, 0.05)


def test_an_existing_topic_is_not_created_again() -> None:
    admin: Any = Admin()
    assert not topic.create(admin, "finance", 4, REQUIRED)
    assert topic.create(admin, "finances", 4, REQUIRED)


def test_a_topic_that_cannot_be_created_is_an_error() -> None:
    admin: Any = Admin()
    with pytest.raises(KafkaException, match="Invalid topic"):
        topic.create(admin, "no/topic", 4, REQUIRED)


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
