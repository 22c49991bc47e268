"""Two drivers on the same tables, as real processes without a common lock: the newer goes on, the older exits with 78."""

from __future__ import annotations

import os
import random
import secrets
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest
from deltalake import DeltaTable

from tests.stack.test_guard import repair
from tests.support.disk import bound
from tests.support.lakes import BAD, GOOD
from tests.support.stack import Run, Stack, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.stack

POINTS = ("after-offsets", "before-quarantine-commit", "after-quarantine-commit", "before-ticks-commit")


class Driver:
    """A job with its own data folder and so its own lock, on the tables of the stack's lake."""

    def __init__(self, stack: Stack, number: int, mounts: ExitStack) -> None:
        self.folder = stack.folder / f"driver-{number}"
        for table in (stack.paths.ticks, stack.paths.quarantine):
            table.mkdir(parents=True, exist_ok=True)
            (self.folder / table.name).mkdir(parents=True)
            if not mounts.enter_context(bound(table, self.folder / table.name)):
                pytest.skip("this machine mounts no folder at a second place")
        self._failpoint = self.folder / "failpoint"
        self.run = stack.run("spark-job", DATA_DIR=str(self.folder), TRIGGER_SECONDS=0, FAILPOINT=f"@{self._failpoint}")

    @property
    def process(self) -> psutil.Process:
        return self.run.role_process("spark-job")

    def stop_at(self, point: str) -> None:
        self._failpoint.write_text(f"{point}:stop")

    def wait_until_stopped(self) -> None:
        wait_until(lambda: self.process.status() == psutil.STATUS_STOPPED, 60, lambda: self.run.text()[-3000:])

    def wake(self) -> None:
        self._failpoint.unlink()
        process = self.process
        for member in [process, *process.children(recursive=True)]:
            member.send_signal(signal.SIGCONT)


@pytest.fixture
def mounts(stack: Stack) -> Iterator[ExitStack]:  # noqa: ARG001 (unmounted before the stack is removed)
    with ExitStack() as entered:
        yield entered


def assert_refused(run: Run) -> None:
    assert run.end(90) == 1
    assert "spark-job ended with code 78" in run.text(), run.text()[-3000:]
    assert "another driver has taken over the lake" in run.text()
    assert "Traceback" not in run.text()


def rounds(stack: Stack, mounts: ExitStack, count: int) -> None:
    seed = int(os.environ.get("SEED", secrets.randbits(32)))
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311
    stack.make_topic()
    older = Driver(stack, 0, mounts)
    older.run.wait_for("connected")
    for number in range(1, count + 1):
        point = chance.choice(POINTS)
        older.stop_at(point)
        stack.send([chance.choice([GOOD, BAD]) for _ in range(chance.randrange(5, 50))] + [BAD])
        older.wait_until_stopped()
        if chance.random() < 0.5:  # the newer driver plans other offsets than the older one
            stack.send([GOOD, BAD] * chance.randrange(1, 20))
        newer = Driver(stack, number, mounts)
        stack.wait_until_stored()
        older.wake()
        assert_refused(older.run)
        stack.send([GOOD])
        stack.wait_until_stored()
        older = newer
    assert older.run.stop() == 0
    stack.assert_complete()


@pytest.mark.long
def test_a_stopped_driver_that_wakes_after_a_take_over_ends(stack: Stack, mounts: ExitStack) -> None:
    rounds(stack, mounts, 3)


@pytest.mark.faults
@pytest.mark.timeout(3000)
def test_fifty_drivers_take_over_in_turn(stack: Stack, mounts: ExitStack) -> None:
    rounds(stack, mounts, 50)


@pytest.mark.faults
def test_two_concurrent_drivers_do_not_double_a_record(stack: Stack, mounts: ExitStack) -> None:
    stack.make_topic()
    first = Driver(stack, 0, mounts)
    first.run.wait_for("connected")
    producer = stack.run("producer", TICKS_PER_SECOND=2000, MALFORMED_RATE=0.01)
    first.run.wait_for("batch id=1 ")
    second = Driver(stack, 1, mounts)
    assert_refused(first.run)
    assert producer.stop() == 0
    stack.wait_until_stored()
    assert second.run.stop() == 0
    stack.assert_complete()


@pytest.mark.faults
def test_a_driver_that_wakes_after_a_recovery_ends(stack: Stack, mounts: ExitStack) -> None:
    stack.make_topic().send([GOOD, BAD] * 20)
    older = Driver(stack, 0, mounts)
    stack.wait_until_stored()
    older.stop_at("before-ticks-commit")
    stack.send([GOOD, GOOD, BAD])
    older.wait_until_stopped()
    DeltaTable(str(stack.paths.ticks)).delete("kafka_offset < 3")
    assert "Recovered" in repair(stack, "recover")
    older.wake()
    assert_refused(older.run)
    last = stack.run("spark-job", TRIGGER_SECONDS=0)
    last.wait_for("connected")  # recover itself may have stored everything while the job is still starting
    stack.assert_completed_by(last)
    stack.assert_proven()
