"""Changed settings of the topic: one warning with the setting, its value and the effect."""

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
    "unclean.leader.election.enable": ("true", "these records are lost"),
}


def test_the_settings_of_topic_init_have_no_differences() -> None:
    assert unkept(AS_MADE, HOURS) == []
    assert set(CHANGES) == {*SETTINGS, "retention.ms"}


@pytest.mark.parametrize(("setting", "value", "effect"), [(name, *change) for name, change in CHANGES.items()])
def test_a_changed_setting_is_named_with_its_value_and_its_effect(setting: str, value: str, effect: str) -> None:
    (difference,) = unkept({**AS_MADE, setting: value}, HOURS)
    assert difference.startswith(f"{setting}={value}, not {AS_MADE[setting]}: ")
    assert effect in difference


@pytest.mark.parametrize("retention", ["-1", "999999999999"])
def test_a_longer_retention_is_accepted(retention: str) -> None:
    assert unkept({**AS_MADE, "retention.ms": retention}, HOURS) == []


def test_settings_that_the_broker_does_not_report_are_ignored() -> None:
    assert unkept({}, HOURS) == []


def test_a_difference_is_logged_once_and_again_after_each_change() -> None:
    odd = {**AS_MADE, "cleanup.policy": "compact"}
    answers = [AS_MADE, odd, odd, {**odd, "compression.type": "zstd"}, AS_MADE, AS_MADE]
    check = TopicSettings(lambda: answers.pop(0), HOURS, get_logger())
    with capture_logs() as lines:
        while answers:
            check.check()
    assert [line["log_level"] for line in lines] == ["warning", "warning", "info"]
    assert "cleanup.policy=compact" in lines[0]["differs"]
    assert "compression.type=zstd" in lines[1]["differs"]


def test_an_unreachable_broker_logs_nothing() -> None:
    def ask() -> dict[str, str]:
        raise BrokerUnavailableError("no answer")

    with capture_logs() as lines:
        TopicSettings(ask, HOURS, get_logger()).check()
    assert lines == []
