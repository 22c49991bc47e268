"""Create the topic if it does not exist; otherwise compare it with the required settings."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from confluent_kafka.admin import AdminClient

REQUEST_SECONDS = 10
POLL_SECONDS = 0.2


class Described(NamedTuple):
    """A topic as the broker describes it. `id` belongs to this incarnation of the topic."""

    id: str
    partitions: int
    config: Mapping[str, str]


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


def wait_for_topic(admin: AdminClient, topic: str, wait_seconds: float) -> Described:
    """Return the topic as soon as the broker describes it; raise KafkaException if it does not in time.

    A broker lists a topic that was just created before it describes it.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            return _describe(admin, topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART or time.monotonic() > deadline:
                raise
            time.sleep(POLL_SECONDS)


def differences(actual: Described, partitions: int, config: Mapping[str, str]) -> list[str]:
    """Return how a topic differs from the required settings, one phrase per difference."""
    phrases = [f"{actual.partitions} partitions, not {partitions}"] if actual.partitions != partitions else []
    found = actual.config
    return phrases + [f"{key}={found.get(key)}, not {value}" for key, value in config.items() if found.get(key) != value]


def _describe(admin: AdminClient, topic: str) -> Described:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    description = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_SECONDS)[topic].result()
    entries = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    config = {name: entry.value for name, entry in entries.items()}
    return Described(str(description.topic_id), len(description.partitions), config)
