"""`make recover ADOPT=1` with real Kafka and Spark, and both readers; tests/unit/job/test_adoption.py has the cases."""

from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from confluent_kafka.admin import AdminClient

from finance_lake.lake import Lake
from finance_role.exit_codes import REFUSED
from finance_storage.delta_table import open_table, row_count
from finance_storage.lake_identity import read_identity
from tests.support.lakes import BAD, GOOD, numbered
from tests.support.stack import wait_for_derived, wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.faults]

ALL = "zookeeper kafka topic-init producer spark-job"


def adopted(stack: Stack) -> str:
    """Take over the topic; return what the command prints."""
    done = stack.repair("recover", ADOPT="1", YES="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def create_again(stack: Stack) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    admin.delete_topics([stack.topic])[stack.topic].result()
    wait_until(lambda: stack.topic not in admin.list_topics(timeout=10).topics, 30, "the topic is deleted")
    stack.make_topic()


def refusal(stack: Stack) -> str:
    job = stack.run("spark-job")
    assert job.end(60) == 1
    assert f"spark-job ended with code {REFUSED}" in job.text()
    return job.text()


def stored(stack: Stack, values: list[bytes], **settings: str) -> None:
    """Publish records, let the job store them, and prove the lake."""
    stack.send(values)
    job = stack.run("spark-job", TRIGGER_SECONDS=0, **settings)
    stack.wait_until_stored()
    wait_for_derived(stack.paths, 120, job.text)
    assert job.stop() == 0
    stack.assert_complete()
    stack.assert_proven()


def partitions(stack: Stack) -> set[int]:
    return {partition // 1000 for partition, _ in stack.stored()}


def test_a_lake_goes_on_with_a_topic_that_was_created_again_with_both_readers(stack: Stack) -> None:
    stored(stack.make_topic(), [*numbered(40), BAD] * 2, READER="spark")
    ticks = open_table(stack.paths.ticks)
    assert ticks is not None
    version, before = ticks.version(), row_count(stack.paths.ticks)
    create_again(stack)
    stack.send([GOOD] * 500)  # more than before, so that offsets alone do not show it

    assert "or `make recover ADOPT=1` takes the lake over to the new topic" in refusal(stack)
    plain, asked = stack.repair("recover", YES="1"), stack.repair("recover", ADOPT="1")
    assert (plain.returncode, asked.returncode) == (1, 2)
    assert "`make recover ADOPT=1`" in plain.stderr
    assert "no record of it can be read again" in asked.stdout
    killed = stack.repair("recover", ADOPT="1", YES="1", FAILPOINT="after-quarantine-restate")
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert "ADOPT=1" in refusal(stack)
    assert "partition 1000 of the lake" in adopted(stack)
    assert "nothing to adopt" in adopted(stack)

    stored(stack, [*numbered(30, source="sim-2"), BAD], READER="direct")
    assert partitions(stack) == {0, 1}
    assert Lake(stack.paths.root).ticks(as_of=version).arrow.num_rows == before

    create_again(stack)
    assert "partition 2000 of the lake" in adopted(stack)
    stored(stack, [*numbered(20, source="sim-3"), BAD], READER="spark")
    assert partitions(stack) == {0, 1, 2}


def test_a_lake_whose_broker_is_lost_goes_on_with_a_new_one(own_stack: Stack) -> None:
    settings = {"RUN_SECONDS": 8, "TICKS_PER_SECOND": 200}
    run = own_stack.run(ALL, **settings)
    assert run.end() == 0, run.text()
    rows, identity = row_count(own_stack.paths.ticks), read_identity(own_stack.paths)
    for folder in ("kafka", "zookeeper"):
        shutil.rmtree(own_stack.paths.root / folder)

    without = own_stack.run(ALL, **settings)
    assert without.end() == REFUSED
    assert "`make recover ADOPT=1` begins a new topic" in without.text()
    assert own_stack.repair("recover", YES="1").returncode == REFUSED
    printed = adopted(own_stack)
    assert "ticks that the producers' ledgers list as acknowledged are in the tables" in printed

    again = own_stack.run(ALL, **settings)
    assert again.end() == 0, again.text()
    assert "all of the topic is in the tables" in again.text()
    after = read_identity(own_stack.paths)
    assert identity is not None
    assert after is not None
    assert (after.lake, after.cluster) == (identity.lake, identity.cluster)
    assert after.current.cluster != identity.cluster
    assert row_count(own_stack.paths.ticks) > rows
    assert partitions(own_stack) == {0, 1}
