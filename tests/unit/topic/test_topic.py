"""topic-init's judgement of a topic, with an admin client that answers from a table."""

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

WANTED = Settings().topic_config()


class Admin:
    """A broker with one topic, `finance`; the first requests for metadata it does not answer, or without naming the topic."""

    def __init__(self, partitions: int = 4, config: dict[str, str] | None = None, deaf: int = 0, unaware: int = 0) -> None:
        self.partitions = partitions
        self.config = {"segment.bytes": "1073741824", **WANTED, **(config or {})}
        self.deaf = deaf
        self.unaware = unaware
        self.asked = 0

    def list_topics(self, **_: Any) -> Any:  # noqa: ANN401
        self.asked += 1
        if self.asked <= self.deaf:
            raise KafkaException("no answer")
        return SimpleNamespace(topics={} if self.asked <= self.unaware else {"finance": object()})

    def create_topics(self, wanted: list[NewTopic], **_: Any) -> dict[str, Future[Any]]:  # noqa: ANN401
        codes = {"finance": KafkaError.TOPIC_ALREADY_EXISTS, "no/topic": KafkaError.TOPIC_EXCEPTION}
        answers: dict[str, Future[Any]] = {new.topic: Future() for new in wanted}
        for name, answer in answers.items():
            if code := codes.get(name):
                answer.set_exception(KafkaException(KafkaError(code)))
            else:
                answer.set_result(None)
        return answers

    def describe_topics(self, wanted: Any, **_: Any) -> dict[str, Future[Any]]:  # noqa: ANN401
        description = SimpleNamespace(partitions=list(range(self.partitions)), topic_id="an-id")
        return {name: _done(description) for name in wanted.topic_names}

    def describe_configs(self, resources: list[Any], **_: Any) -> dict[Any, Future[Any]]:  # noqa: ANN401
        entries = {name: SimpleNamespace(value=value) for name, value in self.config.items()}
        return {resource: _done(entries) for resource in resources}


class Names:
    """In place of confluent_kafka's TopicCollection, which does not give its names back."""

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
    return topic.differences(admin, "finance", 4, WANTED)


def test_a_topic_as_wanted_has_no_differences() -> None:
    assert differences(Admin()) == []


def test_other_partitions_and_other_settings_are_all_named() -> None:
    assert differences(Admin(3, {"retention.ms": "1", "cleanup.policy": "compact"})) == [
        "3 partitions, not 4",
        "cleanup.policy=compact, not delete",
        "retention.ms=1, not 604800000",
    ]


@pytest.mark.parametrize("key", WANTED)
def test_each_setting_is_compared(key: str) -> None:
    assert differences(Admin(config={key: "other"})) == [f"{key}=other, not {WANTED[key]}"]


def test_the_topic_keeps_every_offset_and_dates_records_by_the_brokers_clock() -> None:
    assert WANTED["cleanup.policy"] == "delete"
    assert WANTED["message.timestamp.type"] == "LogAppendTime"
    assert int(WANTED["max.message.bytes"]) == 1024 * 1024


def test_retention_is_given_in_hours() -> None:
    assert Settings(kafka_retention_hours=2).topic_config()["retention.ms"] == "7200000"


def test_a_broker_that_answers_late_is_waited_for() -> None:
    admin: Any = Admin(deaf=3)
    topic.wait_for_broker(admin, 60)
    assert admin.asked == 4


def test_a_broker_that_never_answers_is_given_up() -> None:
    admin: Any = Admin(deaf=10**9)
    with pytest.raises(KafkaException):
        topic.wait_for_broker(admin, 0.05)


def test_a_topic_that_is_there_is_not_made_again() -> None:
    admin: Any = Admin()
    assert not topic.create(admin, "finance", 4, WANTED)
    assert topic.create(admin, "finances", 4, WANTED)


def test_a_topic_that_cannot_be_made_is_an_error() -> None:
    admin: Any = Admin()
    with pytest.raises(KafkaException, match="Invalid topic"):
        topic.create(admin, "no/topic", 4, WANTED)


def test_a_broker_that_has_just_started_is_given_time_to_know_the_topic() -> None:
    admin: Any = Admin(unaware=2)
    topic.wait_for_topic(admin, "finance", 60)
    assert admin.asked == 3


def test_a_topic_that_stays_unknown_is_an_error() -> None:
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC"):
        topic.wait_for_topic(Admin(), "finances", 0)  # type: ignore[arg-type]


def test_the_topics_id_is_that_of_the_broker() -> None:
    admin: Any = Admin()
    assert topic.topic_id(admin, "finance") == "an-id"
