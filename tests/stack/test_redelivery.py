"""A producer whose real broker reports that there is no such topic: it waits, and each tick is in the topic once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from threading import Thread
from typing import TYPE_CHECKING, cast

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from structlog.testing import CapturingLogger

from finance_contract import decode
from finance_producer import connection
from finance_producer.config import Settings
from finance_producer.produce import produce
from finance_producer.publisher import client_config
from finance_storage import ledger
from tests.support.stack import SHORT_LIVED, Stack, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from structlog.typing import FilteringBoundLogger

pytestmark = pytest.mark.stack


class ProducerThread:
    """A producer in a thread of the test, so that the test can patch the settings of its client."""

    def __init__(self, stack: Stack, **settings: float) -> None:
        self._log = CapturingLogger()
        self._stopping = False
        self._unsent: int | None = None
        self._settings = Settings.model_validate(
            {"kafka_bootstrap": stack.bootstrap, "kafka_topic": stack.topic, "data_dir": stack.paths.root, **settings}
        )
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._unsent = produce(self._settings, cast("FilteringBoundLogger", self._log), lambda: self._stopping)

    def count(self, event: str) -> int:
        return sum(call.args[0] == event for call in self._log.calls)

    def wait_for(self, event: str, times: int = 1) -> None:
        wait_until(lambda: self.count(event) >= times, 60, lambda: f"{event!r} in {self._log.calls}")

    def stop(self) -> int | None:
        self._stopping = True
        self._thread.join(60)
        return self._unsent


@pytest.fixture(autouse=True)
def _no_propagation_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client accept immediately that there is no topic; by default it waits for half a minute first."""
    monkeypatch.setattr(
        connection, "client_config", lambda *settings: client_config(*settings) | {"topic.metadata.propagation.max.ms": 0}
    )


@pytest.fixture
def other_cluster(own_stack: Stack, tmp_path: Path) -> Iterator[Stack]:
    """Return another cluster, without the topic, at the address of the test's broker."""
    folder = tmp_path / "other"
    folder.mkdir()
    stack = Stack(folder, own_stack.kafka_port, free_port(), "other", jvm=SHORT_LIVED)
    try:
        yield stack
    finally:
        for run in stack.runs:
            run.kill_everything()


def _wait_for_more(stack: Stack, records: int) -> None:
    before = sum(stack.end_offsets().values())
    wait_until(lambda: sum(stack.end_offsets().values()) > before + records, 60, "ticks arrive")


def _numbers(stack: Stack) -> dict[int, list[int]]:
    """Return the numbers in each partition, in the order of the log."""
    ends = stack.end_offsets()
    numbers: dict[int, list[int]] = {partition: [] for partition in ends}
    consumer = Consumer({"bootstrap.servers": stack.bootstrap, "group.id": "test", "log_level": 0})
    try:
        consumer.assign([TopicPartition(stack.topic, partition, 0) for partition in ends])
        for _ in range(sum(ends.values())):
            message = consumer.poll(30)
            assert message is not None
            assert message.error() is None
            seq = decode(message.value()).seq
            assert seq is not None
            numbers[message.partition() or 0].append(seq)
    finally:
        consumer.close()
    return numbers


def _assert_each_once_in_order(numbers: dict[int, list[int]], first: int, end: int) -> None:
    assert all(before < after for partition in numbers.values() for before, after in pairwise(partition))
    counted = Counter(seq for partition in numbers.values() for seq in partition)
    assert set(counted.values()) == {1}
    assert set(range(first, end)) <= set(counted)


def _made(stack: Stack) -> int:
    """Return the number of ticks of the only run; all must be acknowledged."""
    (file,) = (stack.paths.root / "ledger").glob("*.jsonl")
    account = ledger.read(file)
    assert account.ending is not None
    made: int = account.ending["made"]
    assert account.acknowledged == [(0, made - 1)]
    assert account.failed == []
    assert account.ending["unsent"] == 0
    return made


def test_a_recreated_topic_gets_all_returned_ticks(stack: Stack) -> None:
    producer = ProducerThread(stack.make_topic(), ticks_per_second=2000)
    producer.wait_for("producing")
    _wait_for_more(stack, 1000)

    admin = AdminClient({"bootstrap.servers": stack.bootstrap})
    admin.delete_topics([stack.topic])[stack.topic].result()
    producer.wait_for("topic unavailable, waiting for it")
    stack.make_topic()
    producer.wait_for("topic back")
    _wait_for_more(stack, 5000)
    assert producer.stop() == 0

    # The records of the deleted topic are lost on purpose; Kafka deletes its partitions one after the other.
    numbers = _numbers(stack)
    _assert_each_once_in_order(numbers, max(min(partition) for partition in numbers.values()), _made(stack))
    assert producer.count("topic unavailable, waiting for it") == producer.count("topic back") == 1


def test_a_killed_broker_that_misses_its_topic_loses_and_doubles_nothing(own_stack: Stack, other_cluster: Stack) -> None:
    broker = own_stack.run("zookeeper kafka topic-init")
    broker.wait_for("Running:")
    producer = ProducerThread(own_stack, ticks_per_second=0)
    _wait_for_more(own_stack, 200_000)

    broker.kill_everything()  # some ticks are stored, but their acknowledgements are not sent
    impostor = other_cluster.run("zookeeper kafka")
    producer.wait_for("topic unavailable, waiting for it")
    impostor.wait_for("Running:")
    assert impostor.stop() == 0
    broker = own_stack.run("zookeeper kafka")
    producer.wait_for("topic back")
    broker.wait_for("Running:")
    assert producer.stop() == 0

    _assert_each_once_in_order(_numbers(own_stack), 0, _made(own_stack))
    assert broker.stop() == 0
