"""Rows of the fault matrix (docs/RELIABILITY.md) on the local stack: a fault, recovery, then verify."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from finance_storage.lake_identity import read_identity
from tests.stack.test_guard import refusal, repair
from tests.support.disk import full, small_disk
from tests.support.lakes import BAD, GOOD
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from tests.support.stack import Run, Stack

pytestmark = pytest.mark.stack


def stop(stack: Stack, *runs: Run) -> None:
    """Stop producers, let the table reach the topic's end, stop the job, then verify."""
    *producers, job = runs
    for producer in producers:
        assert producer.stop() == 0
    stack.wait_until_stored()
    assert job.stop() == 0
    stack.assert_proven()


def signal_family(run: Run, number: signal.Signals) -> None:
    for process in psutil.Process(run.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def delete_records(stack: Stack, before: dict[int, int]) -> None:
    """Remove records from Kafka as retention does."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    partitions = [TopicPartition(stack.topic, partition, offset) for partition, offset in before.items()]
    for future in admin.delete_records(partitions).values():
        future.result()


# ---- the job ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["python", pytest.param("java", marks=pytest.mark.faults)])
def test_4_python_and_jvm_of_the_job_end_together(stack: Stack, victim: str) -> None:
    stack.make_topic().send([GOOD] * 50)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    job.wait_for("batch id=")
    role = job.role_process("spark-job")
    jvm = next(process for process in role.children() if "java" in process.name())

    (role if victim == "python" else jvm).kill()

    assert job.end(60) == 1
    wait_until(lambda: not jvm.is_running() or jvm.status() == psutil.STATUS_ZOMBIE, 30, "the JVM has ended")
    stack.send([GOOD, BAD])
    stop(stack, stack.run("spark-job"))


@pytest.mark.faults
def test_3_a_paused_job_resumes(stack: Stack) -> None:
    producer = stack.make_topic().run("producer", TICKS_PER_SECOND=2000)
    job = stack.run("spark-job")
    job.wait_for("batch id=1 ")
    signal_family(job, signal.SIGSTOP)
    time.sleep(60)  # the fault itself
    signal_family(job, signal.SIGCONT)
    stop(stack, producer, job)
    assert "Traceback" not in job.text()


def test_24_records_that_retention_removed_first_are_refused_and_noted_as_lost(stack: Stack) -> None:
    stack.make_topic().send([GOOD] * 400)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.wait_until_stored()
    assert job.stop() == 0
    stored = stack.end_offsets()
    stack.send([GOOD] * 400)
    delete_records(
        stack, {partition: end + 10 for partition, end in stored.items() if stack.end_offsets()[partition] > end + 10}
    )

    assert "Kafka has removed offsets" in refusal(stack)
    assert "note" in repair(stack, "recover")

    stop(stack, stack.run("spark-job", TRIGGER_SECONDS=0))
    identity = read_identity(stack.paths)
    assert identity is not None
    assert identity.losses


@pytest.mark.faults
def test_24_a_running_job_stops_if_retention_removes_records_first(stack: Stack) -> None:
    stack.make_topic().send([GOOD] * 100)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.wait_until_stored()
    signal_family(job, signal.SIGSTOP)
    stack.send([GOOD] * 400)
    delete_records(stack, {partition: end - 1 for partition, end in stack.end_offsets().items() if end})
    signal_family(job, signal.SIGCONT)
    assert job.end(120) == 1
    assert "spark-job ended with code 78" in job.text()
    assert "Traceback" not in job.text()
    repair(stack, "recover")
    stop(stack, stack.run("spark-job", TRIGGER_SECONDS=0))


@pytest.mark.faults
def test_2_sigterm_during_a_batch_stops_the_job_in_time(stack: Stack) -> None:
    stack.make_topic().send([GOOD, GOOD, BAD] * 100_000)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    wait_until(lambda: bool(list(stack.paths.scratch.glob("*/*/offsets/0"))), 120, "a batch begins")
    assert job.stop(90) == 0
    assert "Traceback" not in job.text()
    stop(stack, stack.run("spark-job"))


# ---- broker and ZooKeeper -----------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_8_every_tick_is_accounted_for_after_a_broker_froze_past_the_delivery_timeout(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    producer = own_stack.run("producer", TICKS_PER_SECOND=2000, DELIVERY_TIMEOUT_SECONDS=10)
    job = own_stack.run("spark-job")
    job.wait_for("batch id=1 ")
    kafka = broker.role_process("kafka")
    kafka.suspend()
    time.sleep(25)  # the fault itself
    kafka.resume()
    assert producer.stop() in {0, 1}
    own_stack.wait_until_stored()
    assert job.stop() == 0
    report = json.loads(own_stack.verify("--json").stdout)
    assert report["code"] in {0, 15}, report  # complete, but ticks that the client sent again may be in the topic twice
    assert broker.stop() == 0


def running_apart(stack: Stack) -> tuple[Run, Run, Run, Run]:
    """Start ZooKeeper, broker, producer and job, each under its own supervisor; wait until batches are stored."""
    zookeeper = stack.run("zookeeper")
    zookeeper.wait_for("Running:")
    broker = stack.run("kafka topic-init")
    broker.wait_for("Running:")
    producer = stack.run("producer", TICKS_PER_SECOND=500)
    job = stack.run("spark-job")
    job.wait_for("batch id=1 ")
    return zookeeper, broker, producer, job


@pytest.mark.faults
def test_11_an_outage_of_zookeeper_stops_no_other_role(own_stack: Stack) -> None:
    zookeeper, broker, producer, job = running_apart(own_stack)
    zookeeper.role_process("zookeeper").kill()
    assert zookeeper.end() == 1
    before = job.count("batch id=")
    wait_until(lambda: job.count("batch id=") > before + 10, 60, "batches go on without ZooKeeper")
    zookeeper = own_stack.run("zookeeper")
    zookeeper.wait_for("Running:")
    stop(own_stack, producer, job)
    assert broker.stop() == zookeeper.stop() == 0


@pytest.mark.faults
def test_12_zookeeper_is_stopped_before_the_broker_and_both_start_together(own_stack: Stack) -> None:
    zookeeper, broker, producer, job = running_apart(own_stack)
    assert zookeeper.stop() == 0
    broker.kill_everything()
    zookeeper, broker = own_stack.run("zookeeper"), own_stack.run("kafka")
    broker.wait_for("Running:")
    before = job.count("batch id=")
    wait_until(
        lambda: job.count("batch id=") > before + 3,
        120,
        lambda: f"batches go on\n{job.text()[-3000:]}{producer.text()[-3000:]}",
    )
    stop(own_stack, producer, job)
    assert broker.stop() == zookeeper.stop() == 0


@pytest.mark.faults
def test_13_a_broker_refuses_a_zookeeper_that_has_forgotten_it(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    assert broker.stop() == 0
    shutil.rmtree(own_stack.paths.root / "zookeeper")
    broker = own_stack.run("zookeeper kafka")
    assert broker.end() == 1
    assert re.search(r"Invalid cluster.id in: kafka/meta.properties. Expected \S+, but read \S+", broker.text()), broker.text()


@pytest.mark.faults
def test_14_a_broker_that_started_on_a_full_disk_recovers_its_logs_at_the_next_start(own_stack: Stack) -> None:
    data = own_stack.paths.root
    data.mkdir()
    with small_disk(data) as disk:
        if disk is None:
            pytest.skip("this machine mounts no small volume")
        zookeeper = own_stack.run("zookeeper")
        zookeeper.wait_for("Running:")
        broker = own_stack.run("kafka topic-init")
        broker.wait_for("Running:")
        own_stack.send([GOOD] * 10_000)
        broker.kill_everything()
        with full(disk):
            broker = own_stack.run("kafka")
            broker.wait_for("attempt 2 of 5")
        broker.wait_for("Running:")
        retention_has_run = time.monotonic() + 40  # it runs 30 seconds after a start, then every five minutes
        wait_until(lambda: time.monotonic() > retention_has_run, 60, "retention has run")
        assert not list((data / "kafka").rglob("*.deleted"))
        stop(own_stack, own_stack.run("spark-job", TRIGGER_SECONDS=0))
        assert broker.stop() == zookeeper.stop() == 0


# ---- the contents of the topic ------------------------------------------------------------------------------------------


@pytest.mark.faults
def test_26_a_flood_of_malformed_records_does_not_stop_the_job_or_fill_the_disk(stack: Stack) -> None:
    long = b'{"symbol": "AAPL", "price": 1, "pad": "' + b"x" * 500_000 + b'"}'
    stack.make_topic().send([BAD] * 200_000 + [long] * 50)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stop(stack, job)
    size = sum(path.stat().st_size for path in stack.paths.quarantine.rglob("*.parquet"))
    assert size < 60 * 1024 * 1024, size


@pytest.mark.faults
def test_ticks_of_a_whole_century_do_not_create_many_files(stack: Stack) -> None:
    draw = random.Random(7)  # noqa: S311
    century = [
        b'{"symbol": "AAPL", "price": 1, "ts_event": %d}' % draw.randrange(946_684_800 * 10**9, 4_102_444_800 * 10**9)
        for _ in range(100_000)
    ]
    stack.make_topic().send(century)
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stop(stack, job)
    assert len(list(stack.paths.ticks.rglob("*.parquet"))) < 20


@pytest.mark.faults
def test_verify_passes_a_hundred_times_on_a_running_lake(stack: Stack) -> None:
    producer = stack.make_topic().run("producer", MALFORMED_RATE=0.01)
    job = stack.run("spark-job")
    job.wait_for("batch id=3 ")
    codes = [stack.verify().returncode for _ in range(100)]
    assert codes == [0] * 100
    stop(stack, producer, job)
