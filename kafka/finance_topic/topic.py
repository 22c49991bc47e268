"""Create the topic if it does not exist; otherwise compare it with the required settings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

REQUEST_SECONDS = 10
POLL_SECONDS = 0.2


def wait_for_broker(admin: AdminClient, wait_seconds: float) -> None:
    """Wait until the broker answers a metadata request; raise KafkaException if it does not in time."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            admin.list_topics(timeout=2)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        else:
            return


def create(admin: AdminClient, topic: str, partitions: int, config: dict[str, str]) -> bool:
    """Create the topic with one replica per partition, because there is one broker; return False if it already exists.

    It does not check first whether the topic exists: a broker that has just started may not know its topics yet.
    """
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
    try:
        admin.create_topics([new], operation_timeout=REQUEST_SECONDS)[topic].result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def wait_for_topic(admin: AdminClient, topic: str, wait_seconds: float) -> None:
    """Wait until the broker describes the topic; raise KafkaException if it does not in time.

    A broker lists a topic that was just created before it describes it.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            _describe(admin, topic)
            _config(admin, topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)
        else:
            return


def differences(admin: AdminClient, topic: str, partitions: int, config: dict[str, str]) -> list[str]:
    """Return how the existing topic differs from the required settings, one phrase per difference."""
    actual_partitions = len(_describe(admin, topic).partitions)
    phrases = [f"{actual_partitions} partitions, not {partitions}"] if actual_partitions != partitions else []
    actual = _config(admin, topic)
    return phrases + [f"{key}={actual.get(key)}, not {value}" for key, value in config.items() if actual.get(key) != value]


def topic_id(admin: AdminClient, topic: str) -> str:
    """Return the id that the broker assigned to this incarnation of the topic."""
    return str(_describe(admin, topic).topic_id)


def _describe(admin: AdminClient, topic: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_SECONDS)[topic].result()


def _config(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    entries = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    return {name: entry.value for name, entry in entries.items()}
