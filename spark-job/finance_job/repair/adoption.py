"""Adoption: a lake whose topic is gone takes another one over, on request (docs/adr/0019-adopting-another-topic.md). Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from finance_storage.lake_identity import MAX_PARTITIONS, Adopted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.lake_identity import Identity


class AdoptionError(Exception):
    """The lake cannot take the topic over. The message says why and what to do instead."""


def adopting(identity: Identity, broker: TopicDescription, position: Offsets, noted: str) -> Identity:
    """Return the identity of a lake after it has taken over the topic that `broker` describes, by the topic's own partitions.

    `position` is where each of the lake's partitions ends now, `noted` an ISO time. Raises AdoptionError.
    """
    current = sorted({*identity.first, *position} - identity.retired.keys())
    base = identity.base + MAX_PARTITIONS
    for reason in _unfit(identity, broker, current, base):
        raise AdoptionError(f"{reason}, or start another lake with DATA_DIR or `make reset`")
    ends = {partition: max(position.get(partition, 0), identity.start(partition)) for partition in current}
    begins = {base + own: offset for own, offset in broker.first.items()}
    topic = Adopted(broker.cluster, broker.topic_id, ends, noted)
    return msgspec.structs.replace(identity, first=identity.first | begins, adopted=(*identity.adopted, topic))


def _unfit(identity: Identity, broker: TopicDescription, current: Sequence[int], base: int) -> Iterator[str]:
    if (broker.cluster, broker.topic_id) in {(topic.cluster, topic.topic_id) for topic in identity.topics}:
        yield "the lake has held this topic before, and would store its records twice: delete the topic and create it again"
    if current and current[-1] >= base:
        yield (
            f"the lake holds partition {current[-1]} of its topic, and a lake whose topic has more than {MAX_PARTITIONS} "
            "partitions cannot take another one over: restore the topic"
        )
    if len(broker.end) > MAX_PARTITIONS:
        yield (
            f"the topic has {len(broker.end)} partitions, and a lake can take over at most {MAX_PARTITIONS}: create the topic "
            "with fewer"
        )


def farewell(before: Identity, after: Identity) -> Iterator[str]:
    """Yield what a person must know before the lake leaves its topic: two steps of the plan."""
    topic = after.adopted[-1]
    ends = ", ".join(f"{partition}:{offset}" for partition, offset in topic.ends.items())
    yield (
        f"leave topic {before.topic} of Kafka cluster {before.current.cluster} with id {before.current.topic_id}, which the "
        f"lake holds up to {ends}: no record of it can be read again, and those beyond these offsets are lost"
    )
    yield (
        f"take over topic {after.topic} of Kafka cluster {topic.cluster} with id {topic.topic_id}: its partition 0 is "
        f"partition {after.base} of the lake"
    )
