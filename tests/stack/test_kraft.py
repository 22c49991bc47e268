"""Kafka without ZooKeeper (KRaft), and the migration of a lake with ZooKeeper to it (docs/KRAFT.md)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from finance_kafka.describe import describe_topic
from finance_role.environment import composed
from finance_role.exit_codes import REFUSED, USAGE
from finance_storage.lake_identity import read_identity
from tests.support.lakes import BAD, GOOD
from tests.support.stack import ROOT, Run, Stack, free_port, wait_until

if TYPE_CHECKING:
    from finance_kafka.describe import TopicDescription

pytestmark = pytest.mark.stack

ALL = "zookeeper kafka topic-init producer spark-job"


@pytest.fixture
def with_zookeeper(own_stack: Stack) -> Stack:
    """Return a stopped lake of some ticks and malformed records, whose Kafka has ZooKeeper."""
    run = own_stack.run("zookeeper kafka topic-init spark-job", TRIGGER_SECONDS=0)
    run.wait_for("Running:")
    own_stack.send([GOOD, BAD, GOOD] * 50)
    own_stack.wait_until_stored()
    assert run.stop() == 0
    return own_stack


KAFKA_4 = {"KAFKA_VERSION": "4"}
needs_kafka_4 = pytest.mark.skipif(
    not (ROOT / "build/jars/kafka-4/.ready").is_file(), reason="`make build/jars/kafka-4/.ready` has not fetched Kafka 4"
)


def start(stack: Stack, roles: str, **environment: str | float) -> Run:
    """Start roles without ZooKeeper."""
    return stack.run(roles, KRAFT=1, KAFKA_CONTROLLER_PORT=free_port(), **environment)


def migration(stack: Stack) -> subprocess.Popen[str]:
    """Start `make migrate-to-kraft`."""
    lake = {"ENV_FILE": os.devnull, "DATA_DIR": str(stack.paths.root)}
    return subprocess.Popen(
        [sys.executable, "-m", "finance_local.migrate"],
        cwd=ROOT,
        env=composed(lake, settings=False),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def migrate(stack: Stack) -> str:
    """Migrate a stopped lake; return the output."""
    with migration(stack) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    return output


def refusal(run: Run) -> str:
    """Return why a start was refused, before any role was started."""
    assert run.end(60) == REFUSED
    assert "|" not in run.text()
    return run.text()


def goes_on(run: Run) -> None:
    """Wait until more batches have been stored."""
    before = run.count("batch id=")
    wait_until(lambda: run.count("batch id=") > before + 3, 120, lambda: f"batches go on\n{run.text()[-3000:]}")


def services(stack: Stack) -> str:
    """Return what `financelake status` says of the services."""
    lake = {"DATA_DIR": str(stack.paths.root), "KAFKA_BOOTSTRAP": stack.bootstrap, "KAFKA_TOPIC": stack.topic}
    command = [sys.executable, "-m", "finance_lake", "status"]
    shown = subprocess.run(command, cwd=ROOT, env=composed(lake, settings=False), capture_output=True, text=True, check=False)
    return next(line for line in shown.stdout.splitlines() if line.startswith("services"))


def jvms(stack: Stack) -> list[psutil.Process]:
    """Return the Java processes of a lake, whoever started them."""
    folder = f"-Djava.io.tmpdir={stack.paths.root.resolve()}/"
    return [process for process in psutil.process_iter(["cmdline"]) if folder in " ".join(process.info["cmdline"] or ())]


def test_kafka_without_zookeeper_serves_the_lake_and_survives_a_kill(own_stack: Stack) -> None:
    run = start(own_stack, ALL, TICKS_PER_SECOND=500, MALFORMED_RATE=0.01)
    run.wait_for("Running: kafka topic-init producer spark-job")
    goes_on(run)
    assert services(own_stack).split(maxsplit=1)[1] == "kafka up, producer up, spark-job up"
    cluster = describe_topic(own_stack.bootstrap, own_stack.topic).cluster

    run.role_process("kafka").kill()

    run.wait_for("kafka +.*is started again")
    wait_until(lambda: run.count("Kafka Server started") == 2, 120, lambda: f"the broker is back\n{run.text()[-3000:]}")
    goes_on(run)
    assert run.stop() == 0

    run = start(own_stack, "kafka spark-job", TRIGGER_SECONDS=0)
    run.wait_for("Running:")
    own_stack.wait_until_stored()
    assert describe_topic(own_stack.bootstrap, own_stack.topic).cluster == cluster
    own_stack.assert_complete()
    own_stack.assert_proven()
    assert run.stop() == 0
    assert "Formatting" not in run.text()
    assert "with KRAFT=1" in refusal(own_stack.run(ALL))


@pytest.mark.faults
def test_a_lake_with_zookeeper_is_migrated_and_goes_on_as_the_same_lake(with_zookeeper: Stack) -> None:
    stack = with_zookeeper
    identity, rows = read_identity(stack.paths), stack.stored()
    assert "make migrate-to-kraft" in refusal(start(stack, ALL))

    assert "runs without ZooKeeper from now on" in migrate(stack)

    assert "already" in migrate(stack)
    assert "with KRAFT=1" in refusal(stack.run(ALL))
    run = start(stack, ALL, TICKS_PER_SECOND=500)
    run.wait_for("Running: kafka topic-init producer spark-job")
    goes_on(run)
    assert run.stop() == 0
    run = start(stack, "kafka spark-job", TRIGGER_SECONDS=0)
    run.wait_for("Running:")
    stack.wait_until_stored()
    broker = describe_topic(stack.bootstrap, stack.topic)
    assert identity is not None
    assert identity == read_identity(stack.paths)
    assert (broker.cluster, broker.topic_id) == (identity.cluster, identity.topic_id)
    assert rows < stack.stored()
    stack.assert_complete()
    stack.assert_proven()
    assert run.stop() == 0


@pytest.mark.faults
@pytest.mark.parametrize("step", ["Copying the metadata", "Starting the broker"])
def test_an_interrupted_migration_leaves_the_lake_as_it_was_or_is_completed(with_zookeeper: Stack, step: str) -> None:
    stack = with_zookeeper
    with migration(stack) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(step))
        wait_until(lambda: len(jvms(stack)) > 0, 60, "a process of the migration runs")
        process.send_signal(signal.SIGTERM)
        assert "The lake is as it was before, with ZooKeeper." in process.communicate()[0]
    assert jvms(stack) == []
    run = stack.run("zookeeper kafka")
    run.wait_for("Running:")
    stack.assert_complete()
    assert run.stop() == 0

    with migration(stack) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith(step))
        wait_until(lambda: len(jvms(stack)) > 0, 60, "a process of the migration runs")
        supervisor = psutil.Process(process.pid)
        for killed in (*supervisor.children(recursive=True), supervisor):  # the script before what it has started
            with suppress(psutil.NoSuchProcess):  # for example a sleep that has ended meanwhile
                killed.kill()
        process.communicate()
    assert "make migrate-to-kraft` again" in refusal(stack.run(ALL))
    assert "it begins again" in migrate(stack)
    run = start(stack, "kafka spark-job", TRIGGER_SECONDS=0)
    run.wait_for("Running:")
    stack.send([GOOD, BAD])
    stack.wait_until_stored()
    stack.assert_complete()
    stack.assert_proven()
    assert run.stop() == 0


@needs_kafka_4
@pytest.mark.faults
def test_kafka_4_serves_the_lake_survives_a_kill_and_does_not_go_back(own_stack: Stack) -> None:
    without_kraft = own_stack.run(ALL, **KAFKA_4)
    assert without_kraft.end(60) == USAGE
    assert "set KRAFT=1 too" in without_kraft.text()
    run = start(own_stack, ALL, TICKS_PER_SECOND=500, MALFORMED_RATE=0.01, **KAFKA_4)
    run.wait_for("Running: kafka topic-init producer spark-job")
    goes_on(run)

    run.role_process("kafka").kill()

    run.wait_for("kafka +.*is started again")
    goes_on(run)
    assert run.stop() == 0
    proven_after_a_stop(own_stack)
    assert "start it with KAFKA_VERSION=4" in refusal(start(own_stack, ALL))


@needs_kafka_4
@pytest.mark.faults
def test_a_lake_goes_from_zookeeper_over_3_9_to_kafka_4_as_the_same_lake(with_zookeeper: Stack) -> None:
    stack = with_zookeeper
    identity, rows = read_identity(stack.paths), stack.stored()
    migrate(stack)
    run = start(stack, ALL, TICKS_PER_SECOND=500)
    run.wait_for("Running: kafka topic-init producer spark-job")
    goes_on(run)
    assert run.stop() == 0

    run = start(stack, ALL, TICKS_PER_SECOND=500, **KAFKA_4)
    run.wait_for("Running: kafka topic-init producer spark-job")
    goes_on(run)
    assert run.stop() == 0

    broker = proven_after_a_stop(stack)
    assert identity is not None
    assert identity == read_identity(stack.paths)
    assert (broker.cluster, broker.topic_id) == (identity.cluster, identity.topic_id)
    assert rows < stack.stored()


def proven_after_a_stop(stack: Stack) -> TopicDescription:
    """Start a lake on Kafka 4 again without a producer, and prove it; return the broker's description of the topic."""
    run = start(stack, "kafka spark-job", TRIGGER_SECONDS=0, **KAFKA_4)
    run.wait_for("Running:")
    stack.wait_until_stored()
    stack.assert_complete()
    stack.assert_proven()
    broker = describe_topic(stack.bootstrap, stack.topic)
    assert run.stop() == 0
    assert "Formatting" not in run.text()
    return broker
