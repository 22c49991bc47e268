"""Refusals and repairs with real ZooKeeper, Kafka, Spark and Delta; tests/unit/job has every case, without a JVM."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient
from deltalake import DeltaTable

from finance_role.exit_codes import REFUSED
from finance_storage.delta_table import row_count
from finance_storage.lake_identity import read_identity
from tests.support.lakes import BAD, GOOD
from tests.support.stack import SHORT_LIVED, Stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def filled(broker: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a lake of two batches, one of them with malformed records; each test uses a copy."""
    stack = Stack(
        tmp_path_factory.mktemp("filled"), broker.kafka_port, broker.zookeeper_port, "finance-filled", jvm=SHORT_LIVED
    )
    try:
        stack.make_topic().send([GOOD, BAD, GOOD] * 20)
        job = stack.run("spark-job", TRIGGER_SECONDS=0)
        stack.wait_until_stored()
        stack.send([GOOD] * 30)
        stack.wait_until_stored()
        assert job.stop() == 0
        yield stack
    finally:
        for run in stack.runs:
            run.kill_everything()


@pytest.fixture
def lake(filled: Stack, stack: Stack) -> Stack:
    """Return a copy of the filled lake, with its topic."""
    shutil.copytree(filled.paths.root, stack.paths.root)
    stack.topic = filled.topic
    return stack


def refusal(stack: Stack) -> str:
    """Start the job, which must refuse with exit code 78 before a JVM starts; return its line."""
    job = stack.run("spark-job")
    assert job.end(60) == 1
    text = job.text()
    assert f"spark-job ended with code {REFUSED}" in text, text
    assert "Traceback" not in text
    assert "WARNING: Using incubator modules" not in text  # the first line of a JVM
    return next(line for line in text.splitlines() if "refused" in line)


def repair(stack: Stack, command: str, **environment: str) -> str:
    """Run `make recover` or `make redrive` for this lake without a question; return what it prints."""
    done = stack.repair(command, YES="1", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def assert_job_goes_on(stack: Stack) -> None:
    """Let the job run to the topic's end and check that each record is stored once."""
    stack.send([GOOD, BAD])
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.assert_completed_by(job)
    stack.assert_proven()


def test_a_restored_table_is_refused_and_recovered(lake: Stack) -> None:
    DeltaTable(str(lake.paths.ticks)).restore(2)
    assert "were removed by another writer" in refusal(lake)
    repair(lake, "recover")
    assert_job_goes_on(lake)


@pytest.mark.faults
def test_an_emptied_commit_is_refused_and_recovered(lake: Stack) -> None:
    max((lake.paths.ticks / "_delta_log").glob("[0-9]*.json")).write_bytes(b"")
    assert "is empty" in refusal(lake)
    repair(lake, "recover")
    assert_job_goes_on(lake)


def test_an_intact_lake_has_nothing_to_recover(lake: Stack) -> None:
    assert "nothing to recover" in repair(lake, "recover")


def test_a_recreated_topic_stops_the_running_job(stack: Stack) -> None:
    stack.make_topic().send([GOOD] * 10)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.wait_until_stored()
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    admin.delete_topics([stack.topic])[stack.topic].result()
    wait_until(lambda: stack.topic not in admin.list_topics(timeout=10).topics, 30, "the topic is deleted")
    stack.make_topic().send([GOOD] * 500)  # more than before, so that offsets alone do not show it
    assert job.end(90) == 1
    assert f"spark-job ended with code {REFUSED}" in job.text()
    assert "deleted and created again" in job.text()
    assert "deleted and created again" in refusal(stack)


def test_redrive_works_with_and_without_a_running_job(lake: Stack) -> None:
    assert "of 20 quarantined records with reason all, 0 pass" in repair(lake, "redrive", REASON="all")
    job = lake.run("spark-job", TRIGGER_SECONDS=0)
    lake.wait_until_stored()  # other tests have written to the topic since
    count = row_count(lake.paths.quarantine)
    assert f"of {count} quarantined records with reason price_type, 0 pass" in repair(lake, "redrive", REASON="price_type")
    assert "redrive" in job.text()
    assert job.stop() == 0


def test_a_new_lake_has_the_identity_of_its_topic(lake: Stack) -> None:
    identity = read_identity(lake.paths)
    assert identity is not None
    assert identity.topic == lake.topic
    assert identity.first == dict.fromkeys(lake.end_offsets(), 0)
    verified = lake.verify("--no-broker")  # other tests have written to the topic since
    assert verified.returncode == 0, verified.stdout
