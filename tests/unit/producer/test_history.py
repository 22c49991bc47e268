"""The history of a new lake: the same market in the past, up to now, before the live ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from finance_contract import decode
from finance_producer import produce as production
from finance_producer.config import Settings
from finance_producer.connection import Link
from finance_producer.feed import SECOND_NS, Simulated
from finance_producer.history import MAX_PER_SECOND, MAX_TICKS, History, HistoryFirst, history_rate
from finance_producer.pace import MAX_BLOCK_TICKS, FixedRate
from finance_producer.produce import begin, open_history
from tests.unit.producer.test_produce import Log
from tests.unit.producer.test_run import Client

if TYPE_CHECKING:
    from finance_contract import Tick
    from finance_producer.pace import Pace

NOW_NS = 1_790_000_000 * SECOND_NS
SYMBOLS: tuple[str, ...] = Settings.model_fields["symbols"].default


class Clock:
    """A clock that advances with each published block."""

    def __init__(self) -> None:
        self.now = 0.0

    def ns(self) -> int:
        return NOW_NS + int(self.now * SECOND_NS)


class Market:
    """A simulated feed that begins with a history, published block by block with `seconds` for each."""

    def __init__(self, minutes: float = 10, per_second: float = 100, *, live: float = 100, seconds: float = 0.01) -> None:
        self.clock, self.seconds = Clock(), seconds
        self._first_live: list[Tick] = []
        self.history = History(minutes, per_second, self.clock.ns)
        self.feed = Simulated(SYMBOLS, 7, "sim-7", self.clock.ns)
        self.feed.begin_with(self.history)
        self.pace: Pace = HistoryFirst(self.history, lambda now: FixedRate(live, now))

    def past(self) -> list[Tick]:
        """Publish the history; the first live ticks are kept for `live`."""
        ticks = []
        while not self.history.is_over:
            ticks += self.next_block()
        self._first_live = ticks[self.history.ticks :]
        return ticks[: self.history.ticks]

    def next_block(self) -> list[Tick]:
        count = self.pace.due(self.clock.now)
        assert count <= MAX_BLOCK_TICKS
        ticks = [decode(value) for value in self.feed.take(count).values] if count else []
        self.clock.now += max(self.seconds, self.pace.rest(self.clock.now))
        return ticks

    def live(self, seconds: float) -> list[Tick]:
        """Publish for some seconds after `past`."""
        end, ticks = self.clock.now + seconds, self._first_live
        while self.clock.now < end:
            ticks += self.next_block()
        return ticks


def stamps(ticks: list[Tick]) -> Any:  # noqa: ANN401 (an array)
    return np.array([tick.ts_event for tick in ticks])


def test_it_spans_the_minutes_in_order_and_reaches_the_present_at_the_end() -> None:
    market = Market(seconds=0.1)
    times = stamps(market.past())
    assert (np.diff(times) > 0).all()
    assert times[0] == pytest.approx(NOW_NS - 600 * SECOND_NS, abs=SECOND_NS / 50)
    # It took seconds to publish, and these are in it too.
    assert market.clock.now > 5
    assert market.clock.ns() - times[-1] <= 2 * market.seconds * SECOND_NS
    assert len(times) == pytest.approx(100 * (600 + market.clock.now), abs=2 * 100 * market.seconds + 2)


def test_live_ticks_continue_numbers_times_and_prices() -> None:
    market = Market()
    past = market.past()
    ticks = past + market.live(60)
    assert [tick.seq for tick in ticks] == list(range(len(ticks)))
    assert {tick.source for tick in ticks} == {"sim-7"}
    gaps = np.diff(stamps(ticks))
    assert gaps.min() >= 0
    assert gaps.max() < SECOND_NS / 20
    untouched = Simulated(SYMBOLS, 7, "sim-7", lambda: NOW_NS).take(len(ticks))
    assert [(tick.symbol, tick.price, tick.size) for tick in ticks] == [
        (tick.symbol, tick.price, tick.size) for tick in map(decode, untouched.values)
    ]


def test_live_ticks_do_not_catch_up_with_the_time_that_the_history_took() -> None:
    market = Market(seconds=0.2)
    market.past()
    assert market.clock.now > 10
    assert len(market.live(10)) == pytest.approx(1000, abs=10)


@pytest.mark.parametrize("per_second", [history_rate(60, rate, 0) for rate in (100, 20_000)])
def test_every_symbol_has_ticks_in_every_minute(per_second: float) -> None:
    ticks = Market(per_second=per_second, seconds=0).past()
    minutes = {(tick.symbol, (tick.ts_event or 0) // (60 * SECOND_NS)) for tick in ticks}
    whole = range((NOW_NS - 600 * SECOND_NS) // (60 * SECOND_NS) + 1, NOW_NS // (60 * SECOND_NS))
    assert {(symbol, minute) for symbol in SYMBOLS for minute in whole} <= minutes


def test_the_same_seed_and_clock_give_the_same_bytes() -> None:
    one, other = Market(minutes=1), Market(minutes=1)
    assert one.past() == other.past()
    assert one.live(5) == other.live(5)


def test_an_interrupted_block_leaves_no_gap_in_time() -> None:
    market = Market()
    due = market.pace.due(0)
    times = stamps([decode(value) for value in market.feed.take(due // 2).values + market.feed.take(10).values])
    assert np.diff(times).max() < SECOND_NS / 50


@pytest.mark.parametrize(
    ("minutes", "live", "max_ticks", "rate"),
    [
        (60, 100, 0, 100),
        (60, 20_000, 0, MAX_TICKS / 3600),
        (60, 0, 0, MAX_TICKS / 3600),
        (1, 0, 0, MAX_PER_SECOND),
        (10_080, 100, 0, MAX_TICKS / 604_800),
        (60, 0.2, 0, 0.2),
        (60, 100, 3600, 1),
    ],
)
def test_the_rate_is_the_live_one_within_bounds(minutes: int, live: float, max_ticks: int, rate: float) -> None:
    assert history_rate(minutes, live, max_ticks) == pytest.approx(rate)
    assert minutes * 60 * rate <= MAX_TICKS * 1.000001


def test_a_slow_broker_does_not_keep_it_from_the_present() -> None:
    market = Market(minutes=1, per_second=MAX_PER_SECOND, seconds=0.5)  # 2,000 ticks a second
    times = stamps(market.past())
    assert (market.clock.ns() - times[-1]) / SECOND_NS <= 2 * market.seconds


def test_a_clock_set_far_forward_does_not_make_it_endless() -> None:
    market = Market(minutes=1)
    market.next_block()
    market.clock.now += 1e9
    assert len(market.past()) < 2 * 6000


def test_a_clock_set_back_ends_it() -> None:
    market = Market()
    market.next_block()
    market.clock.now -= 7200
    assert market.pace.due(0) == 1
    assert market.history.is_over


@pytest.mark.parametrize("settings", [{"history_minutes": 0}, {"tick_source": "replay", "replay_file": "x.csv"}])
def test_without_it_the_topic_is_not_asked(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(production, "is_unused", None)
    assert open_history(Settings(**settings), Client(), Link(Log()), lambda: False) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("unused", [True, False])
def test_only_an_unused_topic_begins_with_it(*, unused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([None, None, unused])  # a broker that has just started may not answer completely
    monkeypatch.setattr(production, "is_unused", lambda *_: next(answers))
    history = open_history(Settings(history_minutes=60), Client(), Link(Log()), lambda: False)  # type: ignore[arg-type]
    assert (history is not None) == unused


def test_its_begin_and_end_are_logged_with_figures() -> None:
    market, log = Market(60), Log()
    settings = Settings(history_minutes=60, ticks_per_second=100)
    market.pace = begin(settings, market.feed, market.history, log)  # type: ignore[arg-type]
    market.past()
    assert log.figures_of("history begins") == [{"minutes": 60, "ticks": 360_000, "per_second": 100}]
    (figures,) = log.figures_of("history published")
    assert figures["ticks"] == market.history.ticks
    assert figures["minutes"] == 60
