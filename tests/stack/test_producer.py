"""The producer against a real broker: acknowledged ticks are in the topic once, whatever happens to either."""

from __future__ import annotations

import re
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition

from finance_contract import Malformed, Reason, decode, examples
from finance_storage import ledger
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.stack import Run, Stack

pytestmark = pytest.mark.stack

QUEUE_RECORDS = 50_000


def _values(stack: Stack) -> Iterator[bytes | None]:
    """Yield the values of all records of the topic."""
    ends = stack.end_offsets()
    consumer = Consumer({"bootstrap.servers": stack.bootstrap, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition(stack.topic, partition, 0) for partition in ends])
        missing, deadline = sum(ends.values()), time.monotonic() + 60
        while missing:
            assert time.monotonic() < deadline, f"{missing} records of {ends} do not arrive"
            for message in consumer.consume(10_000, 1):
                assert message.error() is None
                missing -= 1
                yield message.value()
    finally:
        consumer.close()


def _arrived(stack: Stack) -> tuple[Counter[int], Counter[Reason]]:
    """Return the counts of each number, and of each reason of malformed records, in the topic."""
    numbers: Counter[int] = Counter()
    reasons: Counter[Reason] = Counter()
    for value in _values(stack):
        try:
            seq = decode(value).seq
        except Malformed as malformed:
            reasons[malformed.reason] += 1
        else:
            assert seq is not None
            numbers[seq] += 1
    return numbers, reasons


def _account(stack: Stack) -> ledger.Account:
    (file,) = (stack.paths.root / "ledger").glob("*.jsonl")
    return ledger.read(file)


def _numbers(ranges: list[ledger.Range]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def _stopped(run: Run) -> dict[str, int]:
    """Return the figures of the producer's last line."""
    (line,) = re.findall(r"\bstopped +(made=.*)", run.text())
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", line)}


def _ended(run: Run) -> int:
    """Wait until the producer ends by itself, then stop its supervisor; return the producer's exit code."""
    run.wait_for(r"\bstopped +made=")
    if re.search(r"unsent=0\b", run.text()):
        wait_until(lambda: not _is_running(run), 10, "the producer ends")
        assert run.stop() == 0
        return 0
    assert run.end(30) == 1
    (code,) = re.findall(r"producer ended with code (-?\d+)", run.text())
    return int(code)


def _is_running(run: Run) -> bool:
    for process in psutil.Process(run.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            if "finance_producer" in process.cmdline():
                return True
    return False


def test_max_ticks_are_published_exactly_and_end_it_with_0(stack: Stack) -> None:
    run = stack.make_topic().run("producer", MAX_TICKS=5000, TICKS_PER_SECOND=0)

    assert _ended(run) == 0, run.text()

    numbers, reasons = _arrived(stack)
    assert numbers == dict.fromkeys(range(5000), 1)
    assert not reasons
    account = _account(stack)
    assert account.acknowledged == [(0, 4999)]
    assert account.ending is not None
    assert (account.ending["acknowledged"], account.ending["unsent"]) == (5000, 0)
    assert _stopped(run) == {"made": 5000, "acknowledged": 5000, "unsent": 0, "malformed": 0}
    assert "Traceback" not in run.text()


@pytest.mark.parametrize("rate", [0, 100])
def test_sigterm_flushes_and_reports_what_arrived(stack: Stack, rate: int) -> None:
    run = stack.make_topic().run("producer", TICKS_PER_SECOND=rate)
    run.wait_for("Running:")

    run.role_process("producer").terminate()
    assert _ended(run) == 0

    figures = _stopped(run)
    assert figures["made"] == figures["acknowledged"] > 0
    assert sum(stack.end_offsets().values()) == figures["acknowledged"]
    assert _account(stack).acknowledged == [(0, figures["acknowledged"] - 1)]


def test_a_killed_broker_loses_and_doubles_nothing_acknowledged(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    run = own_stack.run("producer", TICKS_PER_SECOND=5000)
    run.wait_for("Running:")

    broker.role_process("kafka").send_signal(signal.SIGKILL)
    run.wait_for("broker unavailable")
    broker.wait_for("kafka .*is started again")
    run.wait_for("broker back")
    assert run.stop() == 0

    figures, (numbers, _) = _stopped(run), _arrived(own_stack)
    account = _account(own_stack)
    assert max(numbers.values()) == 1
    assert _numbers(account.acknowledged) == set(numbers) == set(range(figures["made"]))
    assert figures["unsent"] == 0
    assert run.count("broker unavailable") == run.count("broker back") == 1
    assert run.count(r"producer +\|") < 30
    assert "Traceback" not in run.text()
    assert broker.stop() == 0


def test_it_waits_for_broker_and_topic_with_one_log_line_each(own_stack: Stack) -> None:
    run = own_stack.run("producer", MAX_TICKS=100, TICKS_PER_SECOND=0)
    run.wait_for("broker unavailable")
    broker = own_stack.run("zookeeper kafka")
    broker.wait_for("Running:")
    run.wait_for("no such topic")
    lines = run.count(r"producer +\|")
    topic = own_stack.run("topic-init")
    topic.wait_for("topic ready")

    assert _ended(run) == 0

    assert lines <= 5, run.text()  # settings, broker unavailable, back, topic unavailable, and a line of the client itself
    assert run.count("broker unavailable") == run.count("no such topic") == 1
    assert set(_arrived(own_stack)[0]) == set(range(100))
    assert topic.stop() == broker.stop() == 0


def test_a_stop_before_a_broker_answers_ends_it_with_0(own_stack: Stack) -> None:
    run = own_stack.run("producer")
    run.wait_for("broker unavailable")
    run.role_process("producer").terminate()
    run.wait_for("stopped before a broker answered")
    wait_until(lambda: not _is_running(run), 10, "the producer ends")


def test_malformed_records_of_every_reason_arrive_at_their_rate(stack: Stack) -> None:
    run = stack.make_topic().run("producer", MAX_TICKS=1000, TICKS_PER_SECOND=0, MALFORMED_RATE=0.2)

    assert _ended(run) == 0

    numbers, reasons = _arrived(stack)
    assert numbers == dict.fromkeys(range(1000), 1)
    assert set(reasons) == set(examples.malformed())
    assert reasons.total() == _stopped(run)["malformed"] == 250


def test_a_tick_that_meets_a_full_queue_is_sent_again(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    run = own_stack.run("producer", TICKS_PER_SECOND=20_000, DELIVERY_TIMEOUT_SECONDS=300)
    run.wait_for("Running:")
    kafka = broker.role_process("kafka")

    kafka.suspend()
    run.wait_for(rf"waiting={QUEUE_RECORDS} retries=[1-9]")
    kafka.resume()
    at_rest = run.count("publishing")
    wait_until(lambda: run.count("publishing") > at_rest, 30, "it goes on")
    assert run.stop() == 0

    figures, (numbers, _) = _stopped(run), _arrived(own_stack)
    assert numbers == dict.fromkeys(range(figures["made"]), 1)
    assert figures["unsent"] == 0
    assert broker.stop() == 0


def test_undelivered_ticks_are_reported_unsent_with_code_1(own_stack: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    run = own_stack.run("producer", TICKS_PER_SECOND=1000, DELIVERY_TIMEOUT_SECONDS=2, FLUSH_SECONDS=1)
    run.wait_for("Running:")
    kafka = broker.role_process("kafka")

    kafka.suspend()
    run.wait_for(r"failed=[1-9]")
    run.role_process("producer").terminate()
    assert _ended(run) == 1
    kafka.resume()

    figures, account = _stopped(run), _account(own_stack)
    acknowledged, failed = _numbers(account.acknowledged), _numbers(account.failed)
    assert figures["unsent"] == len(failed) > 0
    assert figures["acknowledged"] == len(acknowledged) > 0
    assert acknowledged | failed == set(range(figures["made"]))
    assert not acknowledged & failed
    numbers, _ = _arrived(own_stack)
    assert acknowledged <= set(numbers)
    assert max(numbers.values()) == 1
    assert "Traceback" not in run.text()
    assert broker.stop() == 0
