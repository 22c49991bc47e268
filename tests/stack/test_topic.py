"""topic-init and the topic that it creates."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import KafkaError, Producer

from finance_kafka.describe import describe_topic
from finance_role.environment import composed

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack


def delivery_of(stack: Stack, topic: str, value: bytes, **settings: str | int) -> KafkaError | None:
    producer = Producer({"bootstrap.servers": stack.bootstrap, "log_level": 0, "message.timeout.ms": 10_000, **settings})
    answers: list[KafkaError | None] = []
    producer.produce(topic, value, on_delivery=lambda error, _: answers.append(error))
    assert producer.flush(30) == 0
    return answers[0]


def test_topic_init_may_run_twice(stack: Stack) -> None:
    for _ in range(2):
        run = stack.run("topic-init")
        run.wait_for("topic ready")
        assert run.stop() == 0

    assert "topic created" in stack.runs[0].text()
    assert "topic created" not in stack.runs[1].text()
    assert len(stack.end_offsets()) == 4


def test_an_existing_topic_with_other_settings_is_refused(stack: Stack) -> None:
    stack.make_topic()

    run = stack.run("topic-init", KAFKA_PARTITIONS=5, KAFKA_RETENTION_HOURS=1)

    assert run.end() == 1
    assert "4 partitions, not 5" in run.text()
    assert "retention.ms=604800000, not 3600000" in run.text()


def test_a_client_does_not_create_a_missing_topic(stack: Stack) -> None:
    error = delivery_of(stack, "finance-never-made", b"x")

    assert error is not None


def test_the_broker_refuses_a_decompression_bomb(stack: Stack) -> None:
    stack.make_topic()
    bomb = bytes(50 * 1024 * 1024)
    settings: dict[str, str | int] = {"compression.type": "zstd", "message.max.bytes": 100_000_000}

    error = delivery_of(stack, stack.topic, bomb, **settings)

    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE
    assert sum(stack.end_offsets().values()) == 0


def test_a_record_of_the_contracts_largest_size_is_accepted(stack: Stack) -> None:
    stack.make_topic()

    assert delivery_of(stack, stack.topic, b"x" * 65_536) is None
    assert sum(stack.end_offsets().values()) == 1


def test_a_silent_address_among_several_delays_a_description_by_little(stack: Stack) -> None:
    stack.make_topic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a frozen broker: the kernel accepts, and nobody answers
        addresses = f"127.0.0.1:{silent.getsockname()[1]},{stack.bootstrap}"
        for _ in range(10):  # the client picks the first address at random
            assert len(describe_topic(addresses, stack.topic).end) == 4


def topic_check(stack: Stack, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = composed({"KAFKA_BOOTSTRAP": stack.bootstrap, "KAFKA_TOPIC": stack.topic, **settings})
    command = [sys.executable, "-m", "finance_lake", "topic", "check"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_topic_check_judges_the_topic_at_the_broker(stack: Stack) -> None:
    stack.make_topic()

    fine, short, absent = (
        topic_check(stack, **settings) for settings in ({}, {"KAFKA_RETENTION_HOURS": "999"}, {"KAFKA_TOPIC": "never-made"})
    )

    assert (fine.returncode, short.returncode, absent.returncode) == (0, 3, 1)
    assert "replication 1" in fine.stdout
    assert "4 partitions: keeps all promises." in fine.stdout
    assert "breaks: retention.ms=604800000" in short.stdout
    assert "--add-config retention.ms=3596400000" in short.stdout
    assert "has no topic never-made" in absent.stderr
