"""What `financelake topic check` finds: the promise that a setting breaks, and the command that fixes it."""

from itertools import pairwise

import pytest

from finance_contract.topic import RETENTION, SETTINGS
from finance_kafka.topic_check import TopicCheck, broken, command_that_creates, notes
from finance_topic.config import Settings

HOURS = 168
AS_MADE = Settings(kafka_retention_hours=HOURS).topic_config()
KAFKAS_DEFAULTS = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "compression.type": "producer",
}


def names(actual: dict[str, str]) -> list[str]:
    return [fault.name for fault in broken("b:1", "my topic", actual, HOURS)]


def test_the_topic_of_topic_init_breaks_nothing() -> None:
    assert names(AS_MADE) == []


def test_a_topic_with_kafkas_defaults_breaks_two_promises() -> None:
    assert names(KAFKAS_DEFAULTS) == ["message.timestamp.type", "compression.type"]


@pytest.mark.parametrize(("size", "fits"), [(65_536, False), (69_632, True), (1_048_588, True), (1_048_589, False)])
def test_a_size_must_hold_a_value_and_fit_into_the_heaps(size: int, *, fits: bool) -> None:
    assert names({**AS_MADE, "max.message.bytes": str(size)}) == ([] if fits else ["max.message.bytes"])


def test_each_fault_has_the_command_that_fixes_it() -> None:
    (fault,) = broken("b:1", "my_topic", {**AS_MADE, "retention.ms": "1000"}, HOURS)
    assert fault.fix == (
        "kafka-configs.sh --bootstrap-server b:1 --alter --entity-type topics --entity-name my_topic"
        " --add-config retention.ms=604800000"
    )


@pytest.mark.parametrize(
    ("replicas", "in_sync", "beginning"), [(1, "1", "replication 1"), (3, "1", "min.insync.replicas=1"), (3, "2", None)]
)
def test_replication_is_a_note(replicas: int, in_sync: str, beginning: str | None) -> None:
    found = notes(4, replicas, {"min.insync.replicas": in_sync})
    assert [note.partition(":")[0] for note in found] == ([beginning] if beginning else [])


def test_a_single_partition_is_a_note() -> None:
    (note,) = notes(1, 3, {"min.insync.replicas": "2"})
    assert note.startswith("1 partition: ")


@pytest.mark.parametrize(("policy", "impossible"), [("delete", False), ("compact", True), ("compact,delete", True)])
def test_a_compacted_topic_makes_proof_impossible(policy: str, *, impossible: bool) -> None:
    faults = broken("b:1", "t", {**AS_MADE, "cleanup.policy": policy}, HOURS)
    check = TopicCheck(4, 0, faults, [])
    assert check.makes_proof_impossible is impossible
    assert [line.partition(":")[0].strip() for line in check.lines()] == (["breaks", "fix"] if impossible else [])


def test_the_command_that_creates_a_topic_makes_one_that_breaks_nothing() -> None:
    words = command_that_creates("b:1", "t", 8, HOURS).split()
    assert words[:3] == ["kafka-topics.sh", "--bootstrap-server", "b:1"]
    settings = dict(word.split("=") for before, word in pairwise(words) if before == "--config")
    assert names(settings) == []
    assert settings.keys() == {*SETTINGS, RETENTION}
