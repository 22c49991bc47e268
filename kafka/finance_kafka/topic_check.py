"""Which promises of the lake a topic would break, and how to fix each. It asks the broker and changes nothing."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

from finance_contract.tick import MAX_VALUE_BYTES
from finance_contract.topic import CLEANUP, RETENTION, SETTINGS, retained, unkept
from finance_kafka.describe import describe_topic, topic_layout, topic_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SIZE: Final = "max.message.bytes"
# From a value of the contract's length with room for its headers, up to Kafka's default, 12 bytes above that of topic-init.
FITTING_BYTES: Final = range(MAX_VALUE_BYTES + 4096, 1_048_588 + 1)


class Broken(NamedTuple):
    """A setting of the topic that breaks a promise: its name, what follows from it, and the command that fixes it."""

    name: str
    what: str
    fix: str


class TopicCheck(NamedTuple):
    """The result: the number of partitions and of offsets that have a record, broken promises, and notes for the operator."""

    partitions: int
    records: int
    broken: list[Broken]
    notes: list[str]

    @property
    def makes_proof_impossible(self) -> bool:
        """Whether the lake could not prove that it lost nothing: compaction removes records in between."""
        return any(fault.name == CLEANUP for fault in self.broken)

    def lines(self) -> Iterator[str]:
        """Format the broken promises and the notes."""
        for fault in self.broken:
            yield f"breaks: {fault.what}"
            yield f"   fix: {fault.fix}"
        yield from (f"  note: {note}" for note in self.notes)


def check_topic(bootstrap: str, topic: str, hours: int) -> TopicCheck:
    """Check a topic; `hours` is how long the job may be down. Raises BrokerUnavailableError, TopicNotFoundError."""
    layout, actual = topic_layout(bootstrap, topic), topic_settings(bootstrap, topic)
    described = describe_topic(bootstrap, topic)
    records = sum(end - described.first.get(partition, 0) for partition, end in described.end.items())
    return TopicCheck(layout.partitions, records, broken(bootstrap, topic, actual, hours), notes(*layout, actual))


def broken(bootstrap: str, topic: str, actual: Mapping[str, str], hours: int) -> list[Broken]:
    """Return the settings that break a promise; `hours` is how long the job may be down."""
    judged = {name: value for name, value in actual.items() if name != SIZE or int(value) not in FITTING_BYTES}
    required = {**{name: setting.value for name, setting in SETTINGS.items()}, RETENTION: retained(hours).value}
    command = f"kafka-configs.sh --bootstrap-server {shlex.quote(bootstrap)} --alter --entity-type topics --entity-name"
    return [
        Broken(name, what, f"{command} {shlex.quote(topic)} --add-config {name}={required[name]}")
        for what in unkept(judged, hours)
        for name in [what.partition("=")[0]]
    ]


def notes(partitions: int, replicas: int, actual: Mapping[str, str]) -> list[str]:
    """Return what the operator should know, although the lake itself keeps its promises."""
    return [*_notes_on_partitions(partitions), *_notes_on_replicas(replicas, actual)]


def _notes_on_partitions(partitions: int) -> list[str]:
    if partitions == 1:
        return ["1 partition: with READER=spark one core alone reads and decodes; docs/OPERATE.md says how to add partitions"]
    return []


def _notes_on_replicas(replicas: int, actual: Mapping[str, str]) -> list[str]:
    if replicas == 1:
        return ["replication 1: a lost disk of one broker loses the records that are not in the lake yet"]
    if int(actual.get("min.insync.replicas", 1)) == 1:
        return ["min.insync.replicas=1: the producer's acknowledgement may come from one broker alone; 2 survives its loss"]
    return []


def command_that_creates(bootstrap: str, topic: str, partitions: int, hours: int) -> str:
    """Return Kafka's command that creates a topic which keeps all promises."""
    settings = {**{name: setting.value for name, setting in SETTINGS.items()}, RETENTION: retained(hours).value}
    configs = " ".join(f"--config {name}={value}" for name, value in settings.items())
    server = shlex.quote(bootstrap)
    return (
        f"kafka-topics.sh --bootstrap-server {server} --create --topic {shlex.quote(topic)} --partitions {partitions} {configs}"
    )
