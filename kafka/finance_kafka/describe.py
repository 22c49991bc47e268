"""Query the broker for a topic: cluster id, topic id, first and end offsets, and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

if TYPE_CHECKING:
    from finance_kafka.offsets import Offsets

ANSWER_SECONDS = 5.0


class BrokerUnavailableError(Exception):
    """No broker responds; the message names the address."""


class TopicNotFoundError(Exception):
    """The broker has no such topic."""


@dataclass(frozen=True)
class TopicDescription:
    """The cluster and the topic's id, first offsets and end offsets."""

    cluster: str
    topic_id: str
    first: Offsets
    end: Offsets


class TopicLayout(NamedTuple):
    """The number of partitions, and of the replicas of the partition that has the fewest."""

    partitions: int
    replicas: int


def topic_layout(bootstrap: str, topic: str) -> TopicLayout:
    """Query the broker for the topic's layout. Raises BrokerUnavailableError, TopicNotFoundError."""
    try:
        topics = _admin(bootstrap).list_topics(timeout=ANSWER_SECONDS).topics
    except KafkaException as error:
        raise BrokerUnavailableError(f"no broker answers at {bootstrap} ({error.args[0].str()})") from None
    if topic not in topics:
        raise TopicNotFoundError(f"the broker at {bootstrap} has no topic {topic}")
    partitions = topics[topic].partitions.values()
    return TopicLayout(len(partitions), min(len(partition.replicas) for partition in partitions))


def describe_topic(bootstrap: str, topic: str, patience_seconds: float = ANSWER_SECONDS) -> TopicDescription:
    """Query the broker at `bootstrap` for the topic. Raises BrokerUnavailableError, TopicNotFoundError."""
    admin = _admin(bootstrap)
    try:
        cluster = admin.list_topics(timeout=patience_seconds)
        if topic not in cluster.topics:
            raise TopicNotFoundError(f"the broker at {bootstrap} has no topic {topic}")
        described = admin.describe_topics(TopicCollection([topic]), request_timeout=ANSWER_SECONDS)[topic].result()
        partitions = [TopicPartition(topic, number) for number in cluster.topics[topic].partitions]
        first = _offsets(admin, partitions, OffsetSpec.earliest())  # type: ignore[no-untyped-call]
        end = _offsets(admin, partitions, OffsetSpec.latest())  # type: ignore[no-untyped-call]
    except KafkaException as error:
        raise BrokerUnavailableError(f"no broker answers at {bootstrap} ({error.args[0].str()})") from None
    return TopicDescription(str(cluster.cluster_id), str(described.topic_id), first, end)


def topic_settings(bootstrap: str, topic: str) -> dict[str, str]:
    """Return the topic's settings. Raises BrokerUnavailableError, also if the broker denies access to them."""
    admin = _admin(bootstrap)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        entries = admin.describe_configs([resource], request_timeout=ANSWER_SECONDS)[resource].result()
    except KafkaException as error:
        raise BrokerUnavailableError(f"the broker at {bootstrap} does not return the settings of {topic} ({error})") from None
    return {name: str(entry.value) for name, entry in entries.items()}


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient(
        {
            "bootstrap.servers": bootstrap,
            "log_level": 0,
            "socket.timeout.ms": round(1000 * ANSWER_SECONDS),
            # The client begins with any of several addresses; a frozen broker accepts a connection and says nothing.
            "socket.connection.setup.timeout.ms": 1000,
        }
    )


def _offsets(admin: AdminClient, partitions: list[TopicPartition], where: OffsetSpec) -> Offsets:
    futures = admin.list_offsets(dict.fromkeys(partitions, where), request_timeout=ANSWER_SECONDS)
    return {partition.partition: future.result().offset for partition, future in futures.items()}
