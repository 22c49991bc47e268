"""Which roles `make local` runs, and on which ports."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from finance_local.config import ALL_ROLES, Settings
from finance_local.roles import STARTING, STOPPING, all_roles


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("zookeeper kafka topic-init", ("zookeeper", "kafka", "topic-init")),
        ("spark-job", ("spark-job",)),
        ("producer,kafka", ("kafka", "producer")),
        (" producer ,\tkafka ", ("kafka", "producer")),
        ("kafka kafka", ("kafka",)),
        ("", ALL_ROLES),
    ],
)
def test_roles_are_chosen_by_name_and_run_in_their_own_order(
    text: str, roles: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROLES", text)
    assert Settings().roles == roles


def test_an_unknown_role_is_named_with_those_that_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLES", "kafka spark")
    with pytest.raises(ValidationError, match=r"no such role: spark; the roles are zookeeper .* spark-job"):
        Settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("KAFKA_PORT", "0"),
        ("KAFKA_PORT", "65536"),
        ("ZOOKEEPER_PORT", "x"),
        ("RUN_SECONDS", "-1"),
        ("RUN_SECONDS", "inf"),
        ("ROLES", " , "),
    ],
)
def test_a_value_out_of_range_is_refused(key: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(ValidationError, match=key.lower()):
        Settings()


def test_every_role_can_be_started_and_stopped() -> None:
    assert set(all_roles(Settings())) == set(ALL_ROLES)
    assert [name for stage in STARTING for name in sorted(stage)] == list(ALL_ROLES)
    assert sorted(STOPPING) == sorted(ALL_ROLES)


def test_writers_stop_before_the_broker_and_the_broker_before_zookeeper() -> None:
    assert [name for name in STOPPING if name != "topic-init"] == ["producer", "spark-job", "kafka", "zookeeper"]
