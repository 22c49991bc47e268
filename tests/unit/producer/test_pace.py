"""The pace, on a simulated clock."""

from __future__ import annotations

from collections import deque

import pytest

from finance_producer.pace import MAX_BLOCK_TICKS, MAX_SLEEP_SECONDS, EventTimeReplay, FixedRate, Pace, Ready, Unthrottled
from finance_producer.watch import patience_seconds

START = 1000.0


def _run(pace: Pace, seconds: float, lag: float = 0.0) -> list[tuple[float, int]]:
    """Poll the pace as a run does, each round `lag` seconds late; return the times and numbers of ticks due."""
    now, rounds = START, []
    while now < START + seconds:
        if due := pace.due(now):
            rounds.append((now, due))
        rest = pace.rest(now)
        assert 0 <= rest <= MAX_SLEEP_SECONDS  # so that a signal is noticed soon
        now += max(rest, 0.001) + lag
    return rounds


@pytest.mark.parametrize("rate", [0.2, 1, 7, 100, 3_000, 100_000])
@pytest.mark.parametrize("lag", [0, 0.0037])
def test_a_fixed_rate_does_not_drift(rate: float, lag: float) -> None:
    seconds = max(20, 20 / rate)
    made = 0
    for now, due in _run(FixedRate(rate, START), seconds, lag):
        made += due
        assert made <= (now - START) * rate + 1 + 1e-6  # never early
    # The first tick is due immediately; the last round is late by at most a block or a rest.
    assert made == pytest.approx(seconds * rate + 1, abs=1 + rate * 0.13 + (MAX_BLOCK_TICKS if rate > 10_000 else 0))


def test_the_first_tick_is_due_immediately_and_the_next_on_schedule() -> None:
    rounds = _run(FixedRate(0.2, START), 16)
    assert [due for _, due in rounds] == [1, 1, 1, 1]
    assert [now - START for now, _ in rounds] == pytest.approx([0, 5, 10, 15], abs=0.11)


def test_a_schedule_far_behind_is_moved_and_does_not_catch_up() -> None:
    pace = FixedRate(100, START)
    assert pace.due(START) == 1
    late = START + 60
    assert 100 <= pace.due(late) <= 102  # a second's worth is forgiven
    assert pace.due(late) == 0
    assert sum(due for _, due in ((now, pace.due(late + now)) for now in (0.5, 1.0))) == pytest.approx(100, abs=2)


def test_a_schedule_slightly_behind_catches_up() -> None:
    pace = FixedRate(100, START)
    assert pace.due(START + 0.905) == 91


def test_unthrottled_never_rests() -> None:
    assert (Unthrottled().due(START), Unthrottled().rest(START)) == (MAX_BLOCK_TICKS, 0)


class File:
    """A replay whose ticks are all read already."""

    def __init__(self, *stamps: int | None) -> None:
        self.waiting = deque(Ready(b"A", b"", stamp) for stamp in stamps)

    def ahead(self) -> deque[Ready]:
        return self.waiting

    def take(self, count: int) -> None:
        for _ in range(count):
            self.waiting.popleft()


def _replayed(file: File, speed: float, seconds: float) -> list[float]:
    pace, when = EventTimeReplay(file, speed, START), []
    for step in range(int(seconds * 100)):
        now = START + step / 100
        due = pace.due(now)
        file.take(due)
        when += [round(now - START, 2)] * due
        assert 0 <= pace.rest(now) <= MAX_SLEEP_SECONDS
    return when


@pytest.mark.parametrize(("speed", "expected"), [(1, [0, 1, 3]), (2, [0, 0.5, 1.5]), (0.5, [0, 2, 6])])
def test_a_replay_keeps_the_recorded_intervals_divided_by_the_speed(speed: float, expected: list[float]) -> None:
    second = 10**9
    when = _replayed(File(5 * second, 6 * second, 8 * second), speed, 7)
    assert when == pytest.approx(expected, abs=0.011)


def test_ticks_without_a_time_or_out_of_order_are_due_immediately() -> None:
    second = 10**9
    assert _replayed(File(None, 5 * second, None, 6 * second, 2 * second), 1, 2) == pytest.approx([0, 0, 0, 1, 1], abs=0.011)


def test_patience_grows_with_the_interval() -> None:
    assert [patience_seconds(rate) for rate in (0, 100_000, 100, 0.2, 0.01)] == [10, 10, 10, 15, 300]
