"""Simulated ticks as bytes: those of the contract's `encode`, and the same for the same seed, source and clock."""

from __future__ import annotations

from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Tick, decode, encode
from finance_contract.tick import SOURCE, SYMBOL
from finance_producer.encoder import TradeEncoder
from finance_producer.feed import SECOND_NS, Simulated, spread
from finance_producer.market import Trades

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = ("AAPL", "BRK.B", "EUR/USD", "ES=F", "A=B-C_D")
START = 1_790_000_000_000_000_000

counts = st.integers(0, 2**63 - 1)
trades = st.tuples(st.integers(0, len(SYMBOLS) - 1), st.integers(1, 10**12 - 1), counts, st.integers(START, START * 2))


@settings(deadline=None)
@given(st.lists(trades, min_size=1, max_size=20), st.from_regex(SOURCE, fullmatch=True), st.integers(0, 2**62))
def test_values_are_byte_for_byte_those_of_encode(rows: list[tuple[int, int, int, int]], source: str, first: int) -> None:
    symbol, cents, size, stamps = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    values = TradeEncoder(SYMBOLS, source).values(Trades(symbol, cents, size), stamps, first)
    assert values == [
        encode(Tick(SYMBOLS[number], Decimal(price).scaleb(-2), shares, stamp, seq, source))
        for seq, (number, price, shares, stamp) in enumerate(rows, first)
    ]


@given(st.from_regex(SYMBOL, fullmatch=True))
def test_values_of_every_symbol_are_ticks(symbol: str) -> None:
    ones = np.array([1])
    (value,) = TradeEncoder([symbol], "a%d").values(Trades(ones - 1, ones * 17450, ones), ones * START, 5)
    assert decode(value) == Tick(symbol, Decimal("174.50"), 1, START, 5, "a%d")


def _clock() -> Callable[[], int]:
    readings = count(START, 10_000_000)
    return lambda: next(readings)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**64), st.lists(st.integers(1, 300), min_size=1, max_size=5))
def test_the_same_seed_source_and_clock_give_the_same_bytes(seed: int, sizes: list[int]) -> None:
    first, second = (Simulated(SYMBOLS, seed, "test", _clock()) for _ in range(2))
    assert [first.take(size) for size in sizes] == [second.take(size) for size in sizes]


def test_block_sizes_change_only_the_times() -> None:
    def without_time(*sizes: int) -> list[Tick]:
        feed = Simulated(SYMBOLS, 3, "test", _clock())
        ticks = [decode(value) for size in sizes for value in feed.take(size).values]
        return [Tick(tick.symbol, tick.price, tick.size, None, tick.seq, tick.source) for tick in ticks]

    assert without_time(1, 2, 500, 97) == without_time(600)


def test_ticks_are_numbered_without_gaps_keyed_by_symbol_and_in_order_of_time() -> None:
    feed = Simulated(SYMBOLS, 7, "test", _clock())
    blocks = [feed.take(size) for size in (1, 1000, 10)]
    assert [block.first for block in blocks] == [0, 1, 1001]
    ticks = [decode(value) for block in blocks for value in block.values]
    assert [tick.seq for tick in ticks] == list(range(1011))
    assert [key for block in blocks for key in block.keys] == [tick.symbol.encode() for tick in ticks]
    stamps = [tick.ts_event or 0 for tick in ticks]
    assert stamps == sorted(stamps)
    assert not feed.ended


def test_event_times_never_go_backwards_even_if_the_clock_does() -> None:
    readings = iter([START, START - 5 * SECOND_NS, START + 1])
    feed = Simulated(SYMBOLS, 7, "test", lambda: next(readings))
    assert [decode(feed.take(1).values[0]).ts_event for _ in range(3)] == [START, START, START + 1]


def test_after_a_pause_ticks_are_spread_over_a_second_at_most() -> None:
    readings = iter([START, START + 60 * SECOND_NS])
    feed = Simulated(SYMBOLS, 7, "test", lambda: next(readings))
    feed.take(1)
    stamps = [decode(value).ts_event for value in feed.take(4).values]
    end = START + 60 * SECOND_NS
    assert stamps == [end - 750_000_000, end - 500_000_000, end - 250_000_000, end]


@given(st.integers(0, START), st.integers(0, SECOND_NS), st.integers(1, 1000))
def test_spread_is_sorted_and_ends_at_its_limit(after: int, width: int, number: int) -> None:
    stamps = spread(after, after + width, number).tolist()
    assert len(stamps) == number
    assert stamps == sorted(stamps)
    assert after <= stamps[0] <= stamps[-1] == after + width
