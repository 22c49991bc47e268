"""The lake does not depend on the caller's environment or its folder's name, and survives harmful records."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil
import pytest
from confluent_kafka import Producer

from tests.spark.test_session import HOSTILE
from tests.support.disk import small_disk
from tests.support.lakes import GOOD
from tests.support.stack import SHORT_LIVED, Stack, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack

ALL = "zookeeper kafka topic-init producer spark-job"
HOSTILE_HERE = {**HOSTILE, "JDK_JAVA_OPTIONS": "-Duser.language=ar", "KAFKA_OPTS": "-Xbogus", "TICKS_PER_SECOND": "500"}
BOMB_MB, BOMBS = 150, 5


@pytest.fixture
def odd_stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack in a folder whose name has special characters."""
    folder = tmp_path / "a, b 'c'"
    folder.mkdir()
    stack = Stack(folder, free_port(), free_port(), "finance", jvm=SHORT_LIVED)
    yield stack
    for run in stack.runs:
        run.kill_everything()


def assert_all_stored(stack: Stack) -> None:
    """Start a stopped lake without its producer and check that each record of its topic is stored once."""
    last = stack.run("zookeeper kafka topic-init spark-job")
    last.wait_for("connected")
    stack.wait_until_stored()
    stack.assert_complete()
    assert last.stop() == 0
    assert stack.stored()


@pytest.mark.faults
def test_a_lake_does_not_depend_on_the_callers_language_and_stays_in_its_folder(odd_stack: Stack) -> None:
    """Kafka once named its segments with the digits of the caller's locale, so the next start found the topic empty."""
    for environment in (HOSTILE_HERE, {"LC_ALL": "C", "TICKS_PER_SECOND": "500"}):
        run = odd_stack.run(ALL, **environment)
        run.wait_for("Running:")
        run.wait_for("batch id=")
        assert run.stop() == 0
        assert "Picked up JAVA_TOOL_OPTIONS" not in run.text()
    assert_all_stored(odd_stack)

    data = odd_stack.paths.root
    segments = sorted(path.name for path in (data / "kafka").rglob("*.log"))
    assert segments
    assert all(name.isascii() for name in segments)
    assert [path.name for path in odd_stack.folder.parent.iterdir()] == [odd_stack.folder.name]
    readable = [path for path in data.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o007]
    assert not readable, readable[:5]


def test_a_volume_without_execution_is_refused_before_anything_starts(own_stack: Stack) -> None:
    own_stack.paths.root.mkdir()
    with small_disk(own_stack.paths.root, "noexec") as disk:
        if disk is None:
            pytest.skip("this machine mounts no volume")
        run = own_stack.run(ALL)
        assert run.end() == 1
    assert "noexec" in run.text()
    assert "zookeeper  |" not in run.text()


def test_an_invalid_producer_setting_is_reported_before_anything_starts(own_stack: Stack) -> None:
    run = own_stack.run(ALL, TICKS_PER_SECOND="abc")
    assert run.end() == 2
    assert "TICKS_PER_SECOND='abc'" in run.text()
    assert not own_stack.paths.root.exists()


def send(stack: Stack, value: bytes, **settings: str | int) -> str:
    """Publish one record; return the broker's error, empty if it accepted the record."""
    producer = Producer({"bootstrap.servers": stack.bootstrap, "log_level": 0, "delivery.timeout.ms": 30_000, **settings})
    errors: list[str] = []
    producer.produce(stack.topic, value, on_delivery=lambda error, _: errors.append(str(error or "")))
    assert producer.flush(40) == 0
    return errors[0]


def test_a_record_that_unpacks_to_more_than_the_heap_is_refused_without_harm(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init", KAFKA_HEAP="320m")
    broker.wait_for("Running:")
    kafka = broker.role_process("kafka")
    packed: dict[str, str | int] = {"compression.type": "zstd", "message.max.bytes": 1_000_000_000}
    for _ in range(BOMBS):
        assert send(own_stack, bytes(BOMB_MB << 20), **packed)
        assert send(own_stack, GOOD) == ""
    assert kafka.is_running()
    assert "started again" not in broker.text()
    assert sum(own_stack.end_offsets().values()) == BOMBS
    assert broker.stop() == 0


@pytest.mark.long
def test_a_broker_that_dies_is_started_again_and_the_lake_goes_on(own_stack: Stack) -> None:
    run = own_stack.run(ALL, TICKS_PER_SECOND=500)
    run.wait_for("Running:")
    run.wait_for("batch id=")
    run.role_process("kafka").send_signal(signal.SIGKILL)
    run.wait_for(r"kafka .*ended with code \S+ and is started again \(1 of 3")
    before = run.count("batch id=")
    wait_until(lambda: run.count("batch id=") > before + 3, 120, lambda: f"batches go on:\n{run.text()[-3000:]}")
    assert run.stop() == 0
    assert_all_stored(own_stack)


def test_nothing_outlives_a_supervisor_that_is_killed(own_stack: Stack) -> None:
    run = own_stack.run(ALL)
    run.wait_for("Running:")
    processes = psutil.Process(run.process.pid).children(recursive=True)
    os.kill(run.process.pid, signal.SIGKILL)

    def running() -> list[psutil.Process]:
        return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]

    wait_until(lambda: not running(), 90, lambda: f"all ended: {running()}")


def test_the_log_of_a_run_is_kept_with_the_lake(own_stack: Stack) -> None:
    run = own_stack.run("zookeeper")
    run.wait_for("Running:")
    assert run.stop() == 0
    kept = (own_stack.paths.root / "run" / "local.log").read_text()
    shown = [line.split() for line in run.text().splitlines()]  # the terminal output has spaces instead of tabs
    assert [line.partition(" ")[2].split() for line in kept.splitlines()] == shown
