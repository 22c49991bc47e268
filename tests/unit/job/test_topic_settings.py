"""Settings of the topic that somebody has changed: one warning, with the setting, its value, and what no longer holds."""

from __future__ import annotations

import pytest
from structlog import get_logger
from structlog.testing import capture_logs

from finance_contract.topic import SETTINGS, unkept
from finance_job.topic_watch import TopicSettings
from finance_kafka.describe import BrokerUnavailableError
from finance_topic.config import Settings

HOURS = 168
AS_MADE = Settings(kafka_retention_hours=HOURS).topic_config()
CHANGES = {
    "message.timestamp.type": ("CreateTime", "kafka_timestamp is what a client says"),
    "cleanup.policy": ("compact,delete", "verify cannot tell them from lost ones"),
    "retention.ms": ("3600000", "not kept for the 168 hours"),
    "max.message.bytes": ("104857600", "heaps are too small"),
    "compression.type": ("producer", "a decompression bomb is stored"),
}


def test_the_topic_as_topic_init_makes_it_is_in_order() -> None:
    assert unkept(AS_MADE, HOURS) == []
    assert set(CHANGES) == {*SETTINGS, "retention.ms"}


@pytest.mark.parametrize(("setting", "value", "otherwise"), [(name, *told) for name, told in CHANGES.items()])
def test_a_change_is_named_with_its_value_and_what_no_longer_holds(setting: str, value: str, otherwise: str) -> None:
    (told,) = unkept({**AS_MADE, setting: value}, HOURS)
    assert told.startswith(f"{setting}={value}, not {AS_MADE[setting]}: ")
    assert otherwise in told


@pytest.mark.parametrize("retention", ["-1", "999999999999"])
def test_a_longer_retention_is_in_order(retention: str) -> None:
    assert unkept({**AS_MADE, "retention.ms": retention}, HOURS) == []


def test_what_the_broker_does_not_tell_is_not_judged() -> None:
    assert unkept({}, HOURS) == []


def test_it_is_said_once_and_again_when_it_changes() -> None:
    odd = {**AS_MADE, "cleanup.policy": "compact"}
    answers = [AS_MADE, odd, odd, {**odd, "compression.type": "zstd"}, AS_MADE, AS_MADE]
    kept = TopicSettings(lambda: answers.pop(0), HOURS, get_logger())
    with capture_logs() as lines:
        while answers:
            kept.look()
    assert [line["log_level"] for line in lines] == ["warning", "warning", "info"]
    assert "cleanup.policy=compact" in lines[0]["differs"]
    assert "compression.type=zstd" in lines[1]["differs"]


def test_a_broker_that_does_not_answer_is_no_change() -> None:
    def ask() -> dict[str, str]:
        raise BrokerUnavailableError("no answer")

    with capture_logs() as lines:
        TopicSettings(ask, HOURS, get_logger()).look()
    assert lines == []
