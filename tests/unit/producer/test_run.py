"""A run against a fake client: what is sent, sent again, counted and recorded in the ledger."""

from __future__ import annotations

import logging
import os
import signal
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from finance_contract import Malformed, decode, examples
from finance_producer import publisher
from finance_producer.__main__ import on_signals
from finance_producer.connection import FatalError, Link, RateLimitedLogHandler
from finance_producer.feed import Simulated
from finance_producer.malformed_injector import MalformedInjector
from finance_producer.pace import FixedRate, Unthrottled
from finance_producer.publisher import Publisher, client_config
from finance_producer.redelivery import Redelivery
from finance_producer.run import Run
from finance_producer.tail import numbers
from finance_producer.watch import ProgressWatch
from finance_role.heartbeat import Heartbeat, is_alive
from finance_storage.ledger import LedgerWriter, ledger_file, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_producer.pace import Pace

FATAL = KafkaError(KafkaError._FENCED, "fenced", fatal=True)  # noqa: SLF001
NO_TOPIC = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
NO_TOPIC_HERE = KafkaError(KafkaError._UNKNOWN_TOPIC)  # noqa: SLF001
TAKEN_DOWN = KafkaError(KafkaError._DESTROY)  # noqa: SLF001
TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001


class Record:
    """The part of a confluent_kafka.Message that a delivery callback reads."""

    def __init__(self, value: bytes | None, key: bytes | None = None) -> None:
        self._value = value
        self._key = key

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes | None:
        return self._value


class Client:
    """A client with a queue of `room` records; each poll answers `answers` of them with the result of `fate`.

    With `only_errors` it calls back for failed records only, as librdkafka does with that setting.
    """

    only_errors = False

    def __init__(self, room: int = 10**6, answers: int = 10**6) -> None:
        self.room = room
        self.answers = answers
        self.queue: deque[tuple[bytes | None, Callable[..., None]]] = deque()
        self.arrived: list[bytes | None] = []
        self.refused = 0
        self.fate: Callable[[bytes | None], KafkaError | None] = lambda _: None
        self.refusal: KafkaError | None = None

    def produce(
        self,
        topic: str,  # noqa: ARG002
        value: bytes | None,
        key: bytes | None,  # noqa: ARG002
        partition: int,  # noqa: ARG002
        callback: Callable[..., None],
    ) -> None:
        if self.refusal:
            raise KafkaException(self.refusal)
        if len(self.queue) >= self.room:
            self.refused += 1
            raise BufferError
        self.queue.append((value, callback))

    def poll(self, timeout: float) -> int:  # noqa: ARG002
        for _ in range(min(self.answers, len(self.queue))):
            self._answer(self.fate)
        return 0

    def flush(self, timeout: float) -> int:
        self.poll(timeout)
        return len(self.queue)

    def purge(self) -> None:
        while self.queue:
            self._answer(lambda _: KafkaError(KafkaError._PURGE_QUEUE))  # noqa: SLF001

    def _answer(self, fate: Callable[[bytes | None], KafkaError | None]) -> None:
        value, callback = self.queue.popleft()
        error = fate(value)
        if error is None:
            self.arrived.append(value)
            if self.only_errors:
                return
        callback(error, Record(value))

    def __len__(self) -> int:
        """Return the length of the queue."""
        return len(self.queue)


class RecordingLog:
    """A log that stores its events."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _record(self, event: str, **_: object) -> None:
        self.lines.append(event)

    info = warning = error = _record


class Trial:
    """A run with a fake client and a simulated clock, in a folder."""

    def __init__(self, folder: Path, client: Client, *, rate: float = 0, pace: Pace | None = None) -> None:
        self.client, self.log, self.stopped = client, RecordingLog(), False
        self.successors: list[Client] = []
        self.unanswered = 0
        self.link = Link(self.log, self._tick)  # type: ignore[arg-type]
        self.publisher = Publisher(client, "finance")
        self.file = ledger_file(folder, "test")
        self.heartbeat = folder / "heartbeat"
        self.now = 0.0
        self.run = Run(
            feed=Simulated(["AAPL", "MSFT"], 7, "test", lambda: 1_790_000_000_000_000_000),
            pace=pace or Unthrottled(),
            injector=MalformedInjector(rate, 7),
            publisher=self.publisher,
            ledger=LedgerWriter(self.file, {"source": "test"}),
            link=self.link,
            redelivery=Redelivery(self._successor, self._arrived, self.link, 5, lambda: self.stopped, self._tick),
            watch=ProgressWatch(self.publisher, self.link, Heartbeat(self.heartbeat, 10), self.log),  # type: ignore[arg-type]
            stopping=lambda: self.stopped,
            monotonic=self._tick,
        )

    def _tick(self) -> float:
        self.now += 0.01
        return self.now

    def _successor(self, is_over: Callable[[], bool]) -> Client | None:
        """Return the next client, or None after `is_over` if there is none."""
        if not self.successors:
            while not is_over():
                pass
            return None
        self.client.arrived.extend(self.successors[0].arrived)
        self.successors[0].arrived = self.client.arrived
        self.client = self.successors.pop(0)
        return self.client

    def _arrived(self) -> set[int] | None:
        """Return the numbers in the topic; None for the first `unanswered` calls."""
        self.unanswered -= 1
        return None if self.unanswered >= 0 else {number for number in self.seqs() if number is not None}

    def seqs(self) -> list[int | None]:
        """Return the numbers of the ticks that arrived, in order."""
        return [decode(value).seq for value in self.client.arrived]


@pytest.fixture(params=["every answer", "only errors"])
def reports(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients report every answer, or only errors."""
    monkeypatch.setattr(Client, "only_errors", request.param == "only errors")


@pytest.mark.usefixtures("reports")
def test_max_ticks_are_sent_in_order_and_recorded_in_the_ledger(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client())
    trial.run.until_end(2345)
    assert trial.run.finish(1) == 0
    assert trial.seqs() == list(range(2345))
    account = read(trial.file)
    assert account.acknowledged == [(0, 2344)]
    assert account.ending is not None
    assert account.ending["acknowledged"] == account.ending["made"] == 2345
    assert is_alive(trial.heartbeat)


def test_a_tick_that_meets_a_full_queue_is_sent_again(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=10, answers=3), rate=0.2)
    trial.run.until_end(500)
    assert trial.run.finish(1) == 0
    assert trial.client.refused > 50
    assert trial.publisher.retries > 50
    good = [value for value in trial.client.arrived if value is not None and b'"source":"test"' in value]
    assert [decode(value).seq for value in good] == list(range(500))
    assert read(trial.file).acknowledged == [(0, 499)]


@pytest.mark.usefixtures("reports")
def test_a_stop_at_a_full_queue_counts_what_was_handed_over(tmp_path: Path) -> None:
    client = Client(room=10, answers=0)
    trial = Trial(tmp_path, client)
    serve = client.poll

    def stop(timeout: float) -> int:
        trial.stopped = True
        return serve(timeout)

    client.poll = stop  # type: ignore[method-assign]
    trial.run.until_end(0)
    client.answers = 4  # the broker acknowledges four before the flush times out
    assert trial.run.finish(1) == 6
    assert trial.publisher.deliveries.figures() == {"made": 10, "acknowledged": 4, "unsent": 6, "malformed": 0}
    account = read(trial.file)
    assert account.acknowledged == [(0, 3)]
    assert account.failed == [(4, 9)]


def test_a_client_that_reports_only_errors_is_emptied_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "only_errors", True)
    monkeypatch.setattr(publisher, "MAX_UNSETTLED_TICKS", 3000)
    trial = Trial(tmp_path, Client(room=5000, answers=10))
    unsettled = []
    trial.run.watch.check = lambda: unsettled.append(trial.publisher.deliveries.unsettled)  # type: ignore[method-assign]
    trial.run.until_end(20_000)
    assert trial.run.finish(1) == 0
    assert max(unsettled) == 3000
    assert read(trial.file).acknowledged == [(0, 19_999)]


@pytest.mark.usefixtures("reports")
def test_unacknowledged_ticks_are_unsent_and_in_no_acknowledged_range(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client())
    trial.client.fate = lambda value: TIMED_OUT if value is not None and (decode(value).seq or 0) % 10 == 3 else None
    trial.run.until_end(100)
    assert trial.run.finish(1) == 10
    account = read(trial.file)
    assert account.failed == [(seq, seq) for seq in range(3, 100, 10)]
    acknowledged = [seq for first, last in account.acknowledged for seq in range(first, last + 1)]
    assert acknowledged == [seq for seq in range(100) if seq % 10 != 3] == trial.seqs()


def test_malformed_records_have_every_reason_and_no_number(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(), rate=0.2)
    trial.run.until_end(400)
    assert trial.run.finish(1) == 0
    seqs, reasons = [], []
    for value in trial.client.arrived:
        try:
            seqs.append(decode(value).seq)
        except Malformed as malformed:
            reasons.append(malformed.reason)
    assert seqs == list(range(400))
    assert len(reasons) == 100
    assert set(reasons) == set(examples.malformed())
    assert trial.publisher.deliveries.figures() == {"made": 400, "acknowledged": 400, "unsent": 0, "malformed": 100}


def test_a_reported_fatal_error_ends_the_run(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(answers=0))
    trial.link.on_error(FATAL)
    with pytest.raises(FatalError, match="fenced"):
        trial.run.until_end(0)


@pytest.mark.usefixtures("reports")
def test_a_client_that_refuses_for_good_ends_the_run_with_correct_totals(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=10))
    trial.client.fate = lambda _: setattr(trial.client, "refusal", FATAL)
    with pytest.raises(KafkaException):
        trial.run.until_end(0)
    assert trial.run.finish(1) == 0
    assert trial.publisher.deliveries.figures()["made"] == 10
    assert read(trial.file).acknowledged == [(0, 9)]


# ---- a missing topic ---------------------------------------------------------------------------------------------------


def _lose_topic(trial: Trial, after: int, *, of_these_arrive: int = 0) -> None:
    """Let the client fail all ticks from number `after` for want of a topic; `of_these_arrive` of them are stored anyway."""
    client = trial.client

    def fate(value: bytes | None) -> KafkaError | None:
        seq = decode(value).seq or 0
        if seq < after:
            return None
        client.refusal = NO_TOPIC_HERE
        if seq < after + of_these_arrive:
            client.arrived.append(value)
        return NO_TOPIC if seq % 2 else TAKEN_DOWN

    client.fate = fate


@pytest.mark.usefixtures("reports")
def test_returned_ticks_are_sent_again_in_order_and_once(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=500, answers=100))
    _lose_topic(trial, 1234, of_these_arrive=7)
    trial.successors = [Client(room=500, answers=100)]
    trial.unanswered = 3

    trial.run.until_end(4000)

    assert trial.run.finish(1) == 0
    assert trial.seqs() == list(range(4000))
    assert read(trial.file).acknowledged == [(0, 3999)]
    assert read(trial.file).failed == []
    assert trial.publisher.deliveries.figures()["acknowledged"] == trial.publisher.deliveries.figures()["made"] == 4000
    assert trial.log.lines == ["topic unavailable, waiting for it", "topic back"]


@pytest.mark.usefixtures("reports")
def test_a_topic_that_disappears_repeatedly_loses_and_doubles_nothing(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=500, answers=100))
    _lose_topic(trial, 1234, of_these_arrive=7)
    refusing, failing, good = Client(room=500), Client(room=500, answers=50), Client(room=500)
    refusing.refusal = NO_TOPIC_HERE
    failing.fate = lambda value: NO_TOPIC if value is not None and (decode(value).seq or 0) >= 1300 else None
    trial.successors = [refusing, failing, good]

    trial.run.until_end(4000)

    assert trial.run.finish(1) == 0
    assert trial.client is good
    assert trial.seqs() == list(range(4000))
    assert read(trial.file).acknowledged == [(0, 3999)]


@pytest.mark.usefixtures("reports")
def test_unanswered_ticks_are_sent_again_when_the_topic_disappears(tmp_path: Path) -> None:
    client = Client(room=500, answers=0)
    trial = Trial(tmp_path, client)
    trial.successors = [Client()]
    produce = client.produce

    def refuse_at_last(*record: Any) -> None:  # noqa: ANN401 (as produce)
        if len(client) == 300:
            client.refusal = NO_TOPIC_HERE
        produce(*record)

    client.produce = refuse_at_last  # type: ignore[assignment, method-assign]
    trial.run.until_end(1000)
    assert trial.run.finish(1) == 0
    assert trial.seqs() == list(range(1000))


@pytest.mark.usefixtures("reports")
def test_a_topic_that_stays_missing_ends_the_run_with_correct_totals(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=500, answers=100))
    _lose_topic(trial, 1234)

    with pytest.raises(FatalError, match="no broker has had the topic for 5 s"):
        trial.run.until_end(4000)

    made = trial.publisher.deliveries.made
    assert trial.run.finish(1) == made - 1234 > 0
    assert read(trial.file).acknowledged == [(0, 1233)]
    assert read(trial.file).failed == [(1234, made - 1)]
    assert trial.log.lines == ["topic unavailable, waiting for it"]


@pytest.mark.usefixtures("reports")
def test_a_stop_while_the_topic_is_missing_reports_unsent_ticks(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=500, answers=100))
    _lose_topic(trial, 100)
    trial.link.topic.begin = lambda reason: setattr(trial, "stopped", True)  # type: ignore[method-assign]  # noqa: ARG005

    trial.run.until_end(0)

    made = trial.publisher.deliveries.made
    assert trial.run.finish(1) == made - 100 > 0
    assert read(trial.file).failed == [(100, made - 1)]


def test_returned_malformed_records_stay_unsent(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(room=500, answers=100))
    trial.successors = [Client(room=500)]
    wait = lambda: True  # noqa: E731
    trial.publisher.publish_malformed([b"{", None], wait)
    trial.client.fate = lambda _: NO_TOPIC
    trial.run.until_end(100)
    assert trial.run.finish(1) == 2
    assert trial.seqs() == list(range(100))


def test_only_ticks_of_the_run_are_found_at_the_end_of_the_topic() -> None:
    ticks = Simulated(["AAPL"], 7, "mine", lambda: 1_790_000_000_000_000_000).take(3).values
    others = Simulated(["AAPL"], 7, "theirs", lambda: 1_790_000_000_000_000_000).take(9).values
    assert list(numbers(iter([*others, ticks[2], None, b"{", b'{"symbol":"A","price":1}', ticks[0]]), "mine")) == [2, 0]


def test_the_heartbeat_beats_at_a_slow_pace_but_not_without_answers(tmp_path: Path) -> None:
    trial = Trial(tmp_path, Client(answers=0), pace=FixedRate(100, 0))
    check = trial.run.watch.check
    trial.run.publisher.publish(trial.run.feed.take(1), lambda: True)
    check()
    assert not trial.heartbeat.exists()
    trial.client.answers = 1
    trial.publisher.serve(0)
    check()
    assert is_alive(trial.heartbeat)
    trial.heartbeat.unlink()
    trial.run.watch._heartbeat._next = 0  # noqa: SLF001 (it writes at most once a second)
    check()  # nothing is outstanding, so it beats
    assert is_alive(trial.heartbeat)


def test_an_outage_and_its_end_are_logged_in_one_line_each() -> None:
    log, clock = RecordingLog(), count(0, 0.1)
    link = Link(log, lambda: next(clock))  # type: ignore[arg-type]
    for _ in range(50):
        link.on_error(DOWN)
    for _ in range(50):
        link.on_answer()
    link.check()
    assert log.lines == ["broker unavailable, waiting for it", "broker back"]


def test_an_outage_of_less_than_half_a_second_is_not_logged() -> None:
    log, now = RecordingLog(), [0.0]
    link = Link(log, lambda: now[0])  # type: ignore[arg-type]
    for _ in range(3):
        link.on_error(DOWN)
        now[0] += 0.4
        link.check()
        link.on_answer()
    assert log.lines == []
    link.on_error(DOWN)
    now[0] += 0.6
    link.check()
    assert log.lines == ["broker unavailable, waiting for it"]


def _line_of(facility: str) -> logging.LogRecord:
    return logging.LogRecord("", logging.WARNING, "", 0, "%s [%s] %s", (facility, "name", "text"), None)


def test_the_clients_own_log_is_filtered_and_rate_limited() -> None:
    log = RecordingLog()
    handler = RateLimitedLogHandler(log, lambda: 0.0)  # type: ignore[arg-type]
    for facility in ("FAIL", "ERROR", "GETPID"):
        handler.emit(_line_of(facility))
    assert log.lines == []
    for _ in range(5):
        handler.emit(_line_of("MAXPOLL"))
    assert log.lines == ["Kafka client"]


def test_the_client_is_idempotent_acknowledged_by_all_compressed_and_bounded() -> None:
    config = client_config("broker:9092", 1.5)
    assert config["enable.idempotence"] is True
    assert (config["acks"], config["compression.type"], config["delivery.timeout.ms"]) == ("all", "zstd", 1500)
    assert config["queue.buffering.max.messages"] <= 100_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_recorded(number: signal.Signals) -> None:
    before = {handled: signal.getsignal(handled) for handled in (signal.SIGTERM, signal.SIGINT)}
    try:
        stopping = on_signals()
        assert not stopping()
        os.kill(os.getpid(), number)
        assert stopping()
    finally:
        for handled, handler in before.items():
            signal.signal(handled, handler)
