"""Ask the broker whether a topic has ever had a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from finance_producer.publisher import connection_config

if TYPE_CHECKING:
    from collections.abc import Iterable

ASK_SECONDS = 5.0


def is_unused(bootstrap: str, topic: str) -> bool | None:
    """Return whether no record was ever published to the topic; None if the broker does not answer completely.

    A topic whose records were all deleted is not unused: its end offsets are above 0.
    """
    # Not a consumer: its group would make the broker create the topic of group offsets.
    admin = AdminClient(connection_config(bootstrap) | {"log_level": 0})
    try:
        topics = admin.list_topics(timeout=ASK_SECONDS).topics
        if topic not in topics or not topics[topic].partitions:
            return None
        return not any(_end_offsets(admin, topic, topics[topic].partitions))
    except KafkaException:
        return None


def _end_offsets(admin: AdminClient, topic: str, partitions: Iterable[int]) -> list[int]:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    requests = {TopicPartition(topic, partition): latest for partition in partitions}
    return [future.result().offset for future in admin.list_offsets(requests, request_timeout=ASK_SECONDS).values()]
