"""A lake in an object store, as real processes: another driver, elsewhere, goes on from the bucket alone."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

import finance_lake as fl
from finance_storage import place
from tests.stack.test_fencing import assert_refused
from tests.support.lakes import BAD, GOOD
from tests.support.s3_server import S3Server
from tests.support.stack import SHORT_LIVED, Run, Stack
from tests.unit.storage.test_object_store import answering, lie

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]

TICKS = 3000
SECONDS = 600  # beside other tests on a slow machine


@pytest.fixture
def elsewhere(stack: Stack) -> Iterator[Stack]:
    """Return the same lake seen from another host: with another data folder."""
    other = Stack(stack.folder / "elsewhere", stack.kafka_port, stack.zookeeper_port, stack.topic, jvm=SHORT_LIVED)
    other.folder.mkdir()
    try:
        yield other
    finally:
        for run in other.runs:
            run.kill_everything()


def test_another_driver_goes_on_from_the_bucket_alone(stack: Stack, elsewhere: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Server(stack.folder) as server:
        stack.lake = elsewhere.lake = server.settings()
        stack.make_topic()
        job = stack.run("spark-job", TRIGGER_SECONDS=0)
        producer = stack.run("producer", MAX_TICKS=TICKS, TICKS_PER_SECOND=1000)
        job.wait_for("batch id=", SECONDS)
        job.role_process("spark-job").kill()
        assert job.end() == 1

        producer.wait_for("stopped made=", SECONDS)
        assert producer.stop() == 0
        stack.send([GOOD] * 5)  # which only the next driver can store
        older = elsewhere.run("spark-job", TRIGGER_SECONDS=0)
        elsewhere.wait_until_stored(SECONDS)
        elsewhere.assert_complete()
        send(older, "SIGSTOP")  # a stalled driver, on one more host
        stack.send([GOOD, BAD] * 10)
        newer = stack.run("spark-job", TRIGGER_SECONDS=0)
        stack.wait_until_stored(SECONDS)
        send(older, "SIGCONT")
        stack.send([GOOD] * 5)
        assert_refused(older)
        stack.wait_until_stored(SECONDS)
        stack.assert_complete()
        assert f"{TICKS + 20}" in stack.assert_proven().replace(",", "")
        assert newer.stop() == 0
        assert len([name for name in place.names(stack.place.ledgers) if name.endswith(".jsonl")]) == 1
        assert not (stack.paths.root / "finance_delta").exists()
        assert server.secret not in "".join(run.text() for run in (*stack.runs, *elsewhere.runs))

        for name, value in {**server.settings(), "DATA_DIR": str(elsewhere.paths.root)}.items():
            monkeypatch.setenv(name, value)
        with fl.open(server.settings()["LAKE_URI"]) as lake:
            assert lake.count() == TICKS + 20
            assert lake.sql("SELECT count(*) AS n FROM quarantine").rows() == [{"n": 10}]


def test_a_store_that_lets_two_writers_win_is_refused(stack: Stack) -> None:
    with S3Server(stack.folder) as server, answering(server.port, lie) as port:
        stack.lake = server.settings(f"http://127.0.0.1:{port}")
        job = stack.run("spark-job")
        assert job.end(SECONDS) == 1
        assert job.count("spark-job ended with code 78") == 1
        assert "does not keep put-if-absent" in job.text()
        assert "Traceback" not in job.text()
        stack.lake = server.settings()
        assert list(place.names(stack.place.root)) == []


def send(run: Run, name: str) -> None:
    """Send a signal to a job's process and its children."""
    process: psutil.Process = run.role_process("spark-job")
    for member in [process, *process.children(recursive=True)]:
        member.send_signal(signal.Signals[name])
