"""Create the topic if it is absent; compare it with what is wanted if it is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import ConfigResource, NewTopic

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

REQUEST_SECONDS = 10


def wait_for_broker(admin: AdminClient, wait_seconds: float) -> None:
    """Return when the broker answers a metadata request; raises KafkaException when it has not by then."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            admin.list_topics(timeout=2)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        else:
            return


def exists(admin: AdminClient, topic: str) -> bool:
    """Whether the broker has the topic."""
    return topic in admin.list_topics(timeout=REQUEST_SECONDS).topics


def create(admin: AdminClient, topic: str, partitions: int, config: dict[str, str]) -> None:
    """Create the topic with one replica a partition, as one broker can give."""
    wanted = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=config)
    admin.create_topics([wanted], operation_timeout=REQUEST_SECONDS)[topic].result()


def differences(admin: AdminClient, topic: str, partitions: int, config: dict[str, str]) -> list[str]:
    """What about the existing topic is not as wanted, a phrase each; empty if all is."""
    actual_partitions = len(_describe(admin, topic).partitions)
    phrases = [f"{actual_partitions} partitions, not {partitions}"] if actual_partitions != partitions else []
    actual = _config(admin, topic)
    return phrases + [f"{key}={actual.get(key)}, not {value}" for key, value in config.items() if actual.get(key) != value]


def topic_id(admin: AdminClient, topic: str) -> str:
    """The id that the broker gave this incarnation of the topic."""
    return str(_describe(admin, topic).topic_id)


def _describe(admin: AdminClient, topic: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_SECONDS)[topic].result()


def _config(admin: AdminClient, topic: str) -> dict[str, str]:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    entries = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    return {name: entry.value for name, entry in entries.items()}
