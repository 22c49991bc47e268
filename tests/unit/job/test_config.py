"""Options of Spark's Kafka source: those that a user may set, and those that the job sets itself."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from finance_job.config import Settings
from finance_job.source import kafka_options, source_options


def settings(monkeypatch: pytest.MonkeyPatch, options: str) -> Settings:
    monkeypatch.setenv("KAFKA_OPTIONS", options)
    return Settings()


def test_no_options_are_the_default() -> None:
    assert Settings().kafka_options == {}


def test_options_are_read_as_names_and_values(monkeypatch: pytest.MonkeyPatch) -> None:
    options = settings(monkeypatch, "kafka.client.rack=a=b, minPartitions=3,kafkaConsumer.pollTimeoutMs=5").kafka_options
    assert options == {"kafka.client.rack": "a=b", "minPartitions": "3", "kafkaConsumer.pollTimeoutMs": "5"}


@pytest.mark.parametrize(
    "options", ["startingOffsets=latest", "failOnDataLoss=false", "subscribe=other", "kafka.", "kafka.a", "kafka.a=1,b", "{}"]
)
def test_an_option_that_changes_what_is_read_is_refused(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError):
        settings(monkeypatch, options)


def test_a_users_option_overrides_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kafka_options(Settings())["kafka.fetch.max.wait.ms"] != "77"
    assert kafka_options(settings(monkeypatch, "kafka.fetch.max.wait.ms=77"))["kafka.fetch.max.wait.ms"] == "77"


def test_the_stream_begins_at_the_given_position() -> None:
    assert source_options(Settings(), {0: 5, 1: 0})["startingOffsets"] == '{"finance": {"0": 5, "1": 0}}'


def test_lost_records_fail_the_query() -> None:
    assert source_options(Settings(), {0: 0})["failOnDataLoss"] == "true"


def test_a_silent_broker_is_given_up_sooner_if_there_are_others() -> None:
    one, several = (
        {name: int(value) for name, value in kafka_options(Settings(kafka_bootstrap=addresses)).items() if value.isdigit()}
        for addresses in ("a:9092", "a:9092,b:9092,c:9092")
    )
    assert several["kafka.request.timeout.ms"] < one["kafka.request.timeout.ms"]
    # Time for the others, in one request of an API.
    assert several["kafka.request.timeout.ms"] * 3 < several["kafka.default.api.timeout.ms"]
