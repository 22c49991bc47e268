"""Every record of the topic is in the tables exactly once, even if roles are killed at any time."""

from __future__ import annotations

import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from finance_contract import examples
from finance_kafka.describe import describe_topic
from finance_kafka.range_reader import oldest_timestamp
from finance_lake.status import lake_status
from finance_storage.delta_table import open_table
from tests.support.lakes import GOOD
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack


def test_every_example_record_ends_in_the_right_table(stack: Stack) -> None:
    malformed, valid = examples.malformed(), examples.valid()
    stack.make_topic().send([*malformed.values(), *valid.values()])

    job = stack.run("spark-job")
    job.wait_for("batch id=0")
    stack.assert_completed_by(job)
    quarantine = open_table(stack.paths.quarantine)
    assert quarantine is not None
    reasons = quarantine.to_pyarrow_table(columns=["reason"]).column("reason").to_pylist()
    assert sorted(reasons) == sorted(str(reason) for reason in malformed)

    topic = stack.bootstrap, stack.topic
    before = time.time()
    stack.send([GOOD] * 11)
    seen = lake_status(stack.paths, lambda: describe_topic(*topic), partial(oldest_timestamp, *topic))
    assert seen.lag == 11
    assert 0 < seen.lag_seconds <= time.time() - before < seen.committed_seconds


@pytest.mark.long
def test_kill_9_of_the_running_job_loses_and_doubles_nothing(stack: Stack) -> None:
    stack.make_topic()
    producer = stack.run("producer", TICKS_PER_SECOND=3000, MALFORMED_RATE=0.01)
    for _ in range(3):
        job = stack.run("spark-job", TRIGGER_SECONDS=0)
        job.wait_for("batch id=")
        job.role_process("spark-job").send_signal(signal.SIGKILL)
        assert job.end() == 1
        assert "spark-job ended with code -9" in job.text()
    assert producer.stop() == 0
    last = stack.run("spark-job")
    stack.assert_completed_by(last)


@pytest.mark.faults
def test_kill_9_of_the_running_broker_loses_nothing_acknowledged(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    producer = own_stack.run("producer", TICKS_PER_SECOND=1000)
    job = own_stack.run("spark-job")
    job.wait_for("batch id=2 ")

    broker.kill_everything()  # its supervisor too, which would restart it before the job notices
    job.wait_for("streaming query failed, restarting")
    # run-broker retries until the session of the dead broker has expired in ZooKeeper.
    broker = own_stack.run("zookeeper kafka")
    broker.wait_for("Running:")
    before = job.count("batch id=")
    wait_until(lambda: job.count("batch id=") >= before + 3, 90, lambda: f"batches go on:\n{job.text()[-3000:]}")
    assert producer.stop() == 0
    own_stack.assert_completed_by(job)
    assert "Traceback" not in job.text() + producer.text()
    assert broker.stop() == 0


@pytest.mark.faults
def test_a_stopped_lake_continues_where_it_stopped(own_stack: Stack) -> None:
    for _ in range(2):
        run = own_stack.run("zookeeper kafka topic-init producer spark-job", TICKS_PER_SECOND=500)
        run.wait_for("batch id=")
        assert run.stop() == 0
        assert "Traceback" not in run.text()

    final = own_stack.run("zookeeper kafka topic-init spark-job")
    final.wait_for("Running:")
    own_stack.wait_until_stored()
    own_stack.assert_complete()
    assert final.stop() == 0
