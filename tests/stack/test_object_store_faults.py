"""An object store that throttles, fails, is slow, loses connections or is killed, under load: no tick is lost or doubled.

Job and producer reach a real S3 server through a proxy that injects the faults from a seed; `verify` asks the server itself.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from finance_storage.delta_table import committed_offsets
from tests.stack.test_fencing import assert_refused
from tests.support.cluster import seed, signal_family
from tests.support.s3_server import Fault, FaultProxy, S3Server
from tests.support.stack import SHORT_LIVED, Run, Stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.stack, pytest.mark.timeout(3000)]

TICKS_PER_SECOND = 100
RATE = 0.25
SECONDS = 600  # for what takes a few seconds on an idle machine


@dataclass
class Load:
    """A job and a producer that reach the store through the proxy."""

    stack: Stack
    server: S3Server
    proxy: FaultProxy
    producer: Run
    job: Run

    def start_job(self) -> Run:
        """Start the job and wait for its first batch."""
        self.job = job_of(self.stack, self.proxy)
        return self.job

    def sent(self) -> int:
        """Return the number of records in the topic."""
        return sum(self.stack.end_offsets().values())

    def stored(self) -> int:
        """Return the number of records in the tables."""
        return sum(committed_offsets(self.stack.place.ticks).values())

    def wait_until_sent(self, count: int) -> None:
        """Wait until the topic has this number of records."""
        wait_until(lambda: self.sent() >= count, SECONDS, self.producer.text)

    def catch_up(self) -> None:
        """Wait until the tables have what the topic has now."""
        count = self.sent()
        wait_until(lambda: self.stored() >= count, SECONDS, lambda: f"{count} stored\n{self.job.text()[-6000:]}")

    def survive(self, fault: Fault, count: int) -> None:
        """Inject a fault this number of times, at least, while batches are stored; then catch up without it."""
        self.proxy.rates = {fault: RATE}
        goal = self.proxy.injected[fault] + count
        wait_until(lambda: self.proxy.injected[fault] >= goal, SECONDS, lambda: f"{fault}\n{self.job.text()[-6000:]}")
        self.proxy.rates = {}
        self.catch_up()

    def survive_a_kill(self) -> None:
        """Kill the server, start it again after a second of ticks, and catch up."""
        self.server.kill()
        self.wait_until_sent(self.sent() + TICKS_PER_SECOND)
        self.server.start()
        self.catch_up()

    def assert_proven(self) -> None:
        """Stop the load; each record of the topic is in the tables exactly once, and so is each acknowledged tick."""
        assert self.producer.stop() == 0, self.producer.text()[-3000:]
        self.stack.wait_until_stored(SECONDS)
        assert self.job.stop() == 0, self.job.text()[-3000:]
        self.stack.assert_complete()
        report = self.stack.assert_proven()
        assert "complete: 0 lost, 0 doubled" in report
        assert "producers: complete" in report


def job_of(stack: Stack, proxy: FaultProxy) -> Run:
    job = stack.run("spark-job", TRIGGER_SECONDS=0, S3_ENDPOINT=proxy.endpoint)
    job.wait_for("batch id=", SECONDS)
    return job


@contextmanager
def loaded(stack: Stack) -> Iterator[Load]:
    with S3Server(stack.folder) as server, FaultProxy(server.port, seed()) as proxy:
        stack.lake = server.settings()
        stack.make_topic()
        producer = stack.run("producer", TICKS_PER_SECOND=TICKS_PER_SECOND, MALFORMED_RATE=0.01, S3_ENDPOINT=proxy.endpoint)
        yield Load(stack, server, proxy, producer, job_of(stack, proxy))
        print({fault.name: count for fault, count in proxy.injected.items()})


@pytest.mark.faults
def test_a_store_that_fails_in_each_way_costs_no_tick(stack: Stack) -> None:
    with loaded(stack) as load:
        for fault in Fault:
            load.survive(fault, 4)
        load.survive_a_kill()
        load.assert_proven()


@pytest.mark.faults
@pytest.mark.parametrize("fault", Fault, ids=[fault.name for fault in Fault])
def test_a_fault_that_lasts_costs_no_tick(stack: Stack, fault: Fault) -> None:
    with loaded(stack) as load:
        load.survive(fault, 100)
        load.assert_proven()


@pytest.mark.faults
def test_a_store_killed_fifteen_times_under_load_costs_no_tick(stack: Stack) -> None:
    with loaded(stack) as load:
        for _ in range(15):
            load.survive_a_kill()
        load.assert_proven()


@pytest.mark.faults
def test_a_job_killed_while_the_store_fails_costs_no_tick(stack: Stack) -> None:
    with loaded(stack) as load:
        for _ in range(3):
            load.proxy.rates = dict.fromkeys(Fault, RATE / len(Fault))
            load.wait_until_sent(load.sent() + TICKS_PER_SECOND)
            load.job.role_process("spark-job").kill()
            assert load.job.end() == 1
            load.proxy.rates = {}
            load.start_job()
        load.assert_proven()


@pytest.mark.faults
def test_a_driver_that_wakes_while_the_store_fails_is_refused(stack: Stack) -> None:
    elsewhere = Stack(stack.folder / "elsewhere", stack.kafka_port, stack.zookeeper_port, stack.topic, jvm=SHORT_LIVED)
    elsewhere.folder.mkdir()
    with loaded(stack) as load:
        elsewhere.lake = stack.lake
        older = load.job
        signal_family(older.role_process("spark-job"), signal.SIGSTOP)
        try:
            load.job = job_of(elsewhere, load.proxy)
            load.catch_up()
            load.proxy.rates = dict.fromkeys((Fault.THROTTLE, Fault.SLOW, Fault.CUT_ANSWER), RATE / 3)
            signal_family(older.role_process("spark-job"), signal.SIGCONT)
            assert_refused(older)
            load.proxy.rates = {}
            load.assert_proven()
        finally:
            for run in elsewhere.runs:
                run.kill_everything()
