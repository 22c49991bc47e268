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


class Required(NamedTuple):
    """What the topic must be like: `replication` is the number of brokers that have each partition."""

    partitions: int
    replication: int
    config: Mapping[str, str]


class Described(NamedTuple):
    """A topic as the broker describes it: its id is that of this incarnation, `replication` that of its weakest partition."""

    id: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class TooFewBrokersError(Exception):
    """The cluster has fewer brokers than the topic needs replicas; the message has both numbers."""


def wait_for_brokers(admin: AdminClient, count: int, wait_seconds: float) -> None:
    """Wait until the cluster has `count` brokers, as a metadata request returns them.

    Raises KafkaException if no broker answers in time, TooFewBrokersError if the others do not join in time.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            brokers = len(admin.list_topics(timeout=2).brokers)
        except KafkaException:
            if time.monotonic() > deadline:
                raise
            continue
        if brokers >= count:
            return
        if time.monotonic() > deadline:
            raise TooFewBrokersError(f"the cluster has {brokers} of the {count} brokers that KAFKA_REPLICATION={count} needs")
        time.sleep(POLL_SECONDS)


def create(admin: AdminClient, topic: str, required: Required) -> bool:
    """Create the topic; return False if it already exists.

    It does not check first whether the topic exists: a broker that has just started may not know its topics yet.
    """
    new = NewTopic(
        topic,
        num_partitions=required.partitions,
        replication_factor=required.replication,
        config=dict(required.config),
    )
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


def differences(actual: Described, required: Required) -> list[str]:
    """Return how a topic differs from the required settings, one phrase per difference."""
    numbers = (
        (actual.partitions, required.partitions, "partitions"),
        (actual.replication, required.replication, "replicas of each partition"),
    )
    phrases = [f"{found} {what}, not {wanted}" for found, wanted, what in numbers if found != wanted]
    config = actual.config
    return phrases + [
        f"{key}={config.get(key)}, not {value}" for key, value in required.config.items() if config.get(key) != value
    ]


def _describe(admin: AdminClient, topic: str) -> Described:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    description = admin.describe_topics(TopicCollection([topic]), request_timeout=REQUEST_SECONDS)[topic].result()
    entries = admin.describe_configs([resource], request_timeout=REQUEST_SECONDS)[resource].result()
    config = {name: entry.value for name, entry in entries.items()}
    replication = min(len(partition.replicas) for partition in description.partitions)
    return Described(str(description.topic_id), len(description.partitions), replication, config)
