"""docs/OWN-BROKER.md: the lake stores a topic of a broker that it did not start; the page's commands run."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.support.imports import financelake
from tests.support.stack import Run, Stack, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.stack

PAGE = (Path(__file__).parents[2] / "docs" / "OWN-BROKER.md").read_text()
COMMANDS = [
    line for block in re.findall(r"^```bash\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
ADDRESS = "kafka.example.org:9092"
NUMBER = 3000


@pytest.fixture
def lake(stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """Return a lake that has no broker: `stack` has it."""
    folder = tmp_path / "lake"
    folder.mkdir()
    lake = Stack(folder, stack.kafka_port, free_port(), stack.topic, jvm=stack.jvm)
    yield lake
    for run in lake.runs:
        run.kill_everything()


def start(lake: Stack, **settings: str | float) -> Run:
    return lake.run("", KAFKA_BOOTSTRAP=lake.bootstrap, **settings)


def create(stack: Stack, topic: str, config: Mapping[str, str], partitions: int = 2) -> None:
    new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config))
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})  # a temporary would end before its answer
    admin.create_topics([new])[topic].result()


def create_as_the_page_says(stack: Stack, command: str) -> None:
    """Do what Kafka's own tool does, which the project does not have."""
    program, *arguments = shlex.split(command)
    assert program == "kafka-topics.sh"
    parser = argparse.ArgumentParser()
    parser.add_argument("--create", action="store_true", required=True)
    parser.add_argument("--bootstrap-server", choices=[ADDRESS], required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--config", action="append")
    wanted = parser.parse_args(arguments)
    create(stack, wanted.topic, dict(setting.split("=") for setting in wanted.config), wanted.partitions)


def test_an_engineer_gets_from_a_topic_of_his_own_broker_to_a_proven_table(stack: Stack, lake: Stack) -> None:
    creation, *commands = COMMANDS
    assert commands == ["financelake topic check", "financelake status", "financelake show", "financelake verify"]
    stack.topic = lake.topic = "md.ticks"
    create_as_the_page_says(stack, creation)
    stack.send([b'{"symbol": "AAPL", "price": %d.25}' % number for number in range(NUMBER)])
    checked = financelake(lake, *commands[0].split()[1:])
    assert checked.returncode == 0, checked.stdout + checked.stderr

    run = start(lake, TICK_SOURCE="none")
    run.wait_for(r"Running: spark-job\.")
    lake.wait_until_stored()

    for role in ("zookeeper", "kafka"):
        with pytest.raises(AssertionError, match=f"{role} does not run"):
            run.role_process(role)
    assert not (lake.paths.root / "kafka").exists()
    for command in commands[1:]:
        answer = financelake(lake, *command.split()[1:])
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert f"{NUMBER:,} rows" in answer.stdout
    assert run.stop() == 0
    assert sum(lake.stored().values()) == NUMBER


@pytest.mark.faults
def test_the_lakes_producer_publishes_to_the_topic_of_others_and_the_run_is_proven(stack: Stack, lake: Stack) -> None:
    stack.make_topic()

    run = start(lake, RUN_SECONDS=5, TICKS_PER_SECOND=200)

    assert run.end() == 0, run.text()
    assert "Running: producer spark-job." in run.text()
    assert "all of the topic is in the tables" in run.text()
    assert "producers: complete" in run.text()


@pytest.mark.parametrize(
    ("config", "code", "sentence"),
    [
        ({"cleanup.policy": "compact"}, 78, "The lake does not start with this topic: it could prove nothing."),
        (None, 1, "This creates it: kafka-topics.sh --bootstrap-server"),
    ],
    ids=["compacted", "missing"],
)
def test_a_topic_that_cannot_be_proven_is_refused_before_anything_starts(
    stack: Stack, lake: Stack, config: dict[str, str] | None, code: int, sentence: str
) -> None:
    if config is not None:
        create(stack, stack.topic, config)

    run = start(lake)

    assert run.end() == code, run.text()
    assert sentence in run.text()
    assert "Traceback" not in run.text()
    assert "Running:" not in run.text()
    assert not lake.paths.ticks.exists()


@pytest.mark.faults
def test_simulated_ticks_are_not_added_to_the_records_of_others_unasked(stack: Stack, lake: Stack) -> None:
    stack.make_topic().send([b'{"symbol": "AAPL", "price": 1}'])

    refused = start(lake)

    assert refused.end() == 78, refused.text()
    assert "has 1 records, and TICK_SOURCE=simulate would add simulated ticks to them" in refused.text()
    allowed = start(lake, TICK_SOURCE="none")
    allowed.wait_for("Running:")
    lake.wait_until_stored()
    assert allowed.stop() == 0


def test_a_setting_that_breaks_a_promise_is_named_at_the_start(stack: Stack, lake: Stack) -> None:
    create(stack, stack.topic, {})  # with the defaults of Kafka

    run = start(lake, TICK_SOURCE="none")

    run.wait_for("Running:")
    assert "breaks: message.timestamp.type=CreateTime" in run.text()
    assert "fix: kafka-configs.sh --bootstrap-server" in run.text()
    assert run.stop() == 0


def test_no_broker_is_one_sentence(lake: Stack) -> None:
    lake.kafka_port = free_port()

    run = start(lake)

    assert run.end() == 1
    assert f"no broker answers at 127.0.0.1:{lake.kafka_port}" in run.text()
    assert "Traceback" not in run.text()


@pytest.mark.faults
def test_a_lake_stays_with_the_cluster_and_the_topic_that_it_began_with(stack: Stack, lake: Stack) -> None:
    stack.make_topic().send([b'{"symbol": "AAPL", "price": 1}'])
    first = start(lake, TICK_SOURCE="none")
    first.wait_for("Running:")
    lake.wait_until_stored()
    assert first.stop() == 0
    end = stack.end_offsets()
    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    admin.delete_topics([stack.topic])[stack.topic].result()
    wait_until(lambda: stack.topic not in admin.list_topics(timeout=10).topics, 60, "the topic deleted")
    stack.make_topic()

    again, without = start(lake), lake.run("zookeeper kafka topic-init producer spark-job")

    assert (again.end(), without.end()) == (78, 78)
    assert "set KAFKA_BOOTSTRAP and KAFKA_TOPIC back" in again.text()
    assert "has no broker of its own" in without.text()
    assert "set KAFKA_BOOTSTRAP to the address of that cluster" in without.text()
    assert sum(stack.end_offsets().values()) == 0 != sum(end.values())
