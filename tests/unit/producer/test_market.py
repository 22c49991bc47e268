"""The market: reproducible from its seed, plausible in long runs, and with the statistics of a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from bokeh_sampledata import stocks
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract.tick import SYMBOL
from finance_producer.config import Settings
from finance_producer.instruments import instrument
from finance_producer.market import Market, Trades

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_producer.market import Floats

SYMBOLS: tuple[str, ...] = Settings.model_fields["symbols"].default
LONG = 1_500_000
INTERVAL = 1_000  # trades between two price samples
CALIBRATED = ("AAPL", "GOOG", "IBM", "MSFT")

symbol_lists = st.lists(st.from_regex(SYMBOL, fullmatch=True), min_size=1, max_size=12, unique=True)


@pytest.fixture(scope="module")
def long_run() -> Trades:
    return Market(SYMBOLS, 7).block(LONG)


@pytest.fixture(scope="module")
def returns(long_run: Trades) -> Floats:
    """Return the log returns of every symbol, one row each, over intervals of INTERVAL trades."""
    grid = np.arange(0, LONG, INTERVAL)[3:]
    return np.diff([_log_prices(long_run, symbol, grid) for symbol in range(len(SYMBOLS))])


def _log_prices(trades: Trades, symbol: int, at: np.ndarray) -> Floats:
    places = np.flatnonzero(trades.symbol == symbol)
    last = places[np.searchsorted(places, at, side="right") - 1]
    logs: Floats = np.log(trades.cents[last])
    return logs


def _equal(one: Trades, other: Trades) -> bool:
    return all(np.array_equal(left, right) for left, right in zip(one, other, strict=True))


def _in_blocks(market: Market, sizes: Sequence[int]) -> Trades:
    return Trades(*map(np.concatenate, zip(*(market.block(size) for size in sizes), strict=True)))


@settings(max_examples=30, deadline=None)
@given(symbol_lists, st.integers(0, 2**64), st.lists(st.integers(0, 5000), min_size=1, max_size=6))
def test_the_sequence_depends_on_seed_and_symbols_not_on_block_sizes(symbols: list[str], seed: int, sizes: list[int]) -> None:
    assert _equal(_in_blocks(Market(symbols, seed), sizes), Market(symbols, seed).block(sum(sizes)))


@settings(max_examples=30, deadline=None)
@given(symbol_lists, st.integers(0, 2**64))
def test_every_trade_is_of_a_listed_symbol_at_a_positive_price(symbols: list[str], seed: int) -> None:
    trades = Market(symbols, seed).block(5000)
    assert trades.cents.dtype == trades.size.dtype == np.int64
    assert trades.cents.min() >= 1
    assert trades.size.min() >= 1
    assert set(trades.symbol.tolist()) <= set(range(len(symbols)))


def test_another_seed_is_another_market() -> None:
    assert not _equal(Market(SYMBOLS, 1).block(100), Market(SYMBOLS, 2).block(100))


def test_every_symbol_trades_and_opens_near_its_listed_price(long_run: Trades) -> None:
    for number, symbol in enumerate(SYMBOLS):
        first = long_run.cents[np.argmax(long_run.symbol == number)]
        assert first == pytest.approx(instrument(symbol).price, rel=0.01)


def test_prices_stay_plausible_in_a_long_run(long_run: Trades) -> None:
    listed = np.array([instrument(symbol).price for symbol in SYMBOLS])[long_run.symbol]
    drift = long_run.cents / listed
    assert drift.min() > 1 / 2
    assert drift.max() < 2
    assert np.ptp(long_run.cents[long_run.symbol == 0]) > 20  # but they do move


def test_a_price_is_never_below_a_cent() -> None:
    market = Market(["KO"], 1)
    market._log_price[:] = np.log(0.6)  # noqa: SLF001 (no instrument is that cheap)
    assert market.block(20_000).cents.min() == 1


def test_bid_and_ask_are_a_cent_or_a_basis_point_apart(long_run: Trades) -> None:
    apple = long_run.cents[long_run.symbol == 0]
    steps = np.abs(np.diff(apple))
    assert 1 <= np.median(steps[steps > 0]) <= 4


def test_symbols_move_together(returns: Floats) -> None:
    correlations = np.asarray(np.corrcoef(returns))[np.triu_indices(len(SYMBOLS), 1)]
    assert correlations.min() > 0.1
    assert 0.25 < correlations.mean() < 0.7


def test_returns_have_fat_tails(returns: Floats) -> None:
    standard = (returns - returns.mean(axis=1, keepdims=True)) / returns.std(axis=1, keepdims=True)
    assert (standard**4).mean(axis=1).min() > 3.5  # a normal distribution has 3


def test_volatility_clusters_while_returns_do_not(returns: Floats) -> None:
    def autocorrelations(series: Floats) -> Floats:
        return np.array([np.corrcoef(row[:-1], row[1:])[0, 1] for row in series])

    assert autocorrelations(np.abs(returns)).mean() > 0.08
    assert abs(autocorrelations(returns).mean()) < 0.05


def test_trading_comes_in_bursts(long_run: Trades) -> None:
    again = (np.diff(long_run.symbol) == 0).mean()
    by_chance = (np.bincount(long_run.symbol) / LONG) ** 2
    assert again > 1.15 * by_chance.sum()


def test_sizes_are_often_round_lots_and_differ_widely(long_run: Trades) -> None:
    assert 0.55 < (long_run.size % 100 == 0).mean() < 0.7
    assert long_run.size.max() > 50 * np.median(long_run.size)


def test_unknown_symbols_always_have_the_same_plausible_listing() -> None:
    for symbol in ("ZZZ", "BRK.B", "EUR/USD", "ES=F"):
        first = instrument(symbol)
        assert first == instrument(symbol)
        assert 10_00 <= first.price <= 300_00
        assert 0 < first.loading < 1


def test_listings_match_the_real_closes() -> None:
    """Recompute volatilities and loadings of the calibrated symbols as finance_producer.instruments describes."""
    real: list[dict[str, list[Any]]] = [getattr(stocks, symbol) for symbol in CALIBRATED]
    closes = [dict(zip(series["date"], series["adj_close"], strict=True)) for series in real]
    days = sorted(day for day in set.intersection(*map(set, closes)) if "2004-08-20" <= day <= "2013-03-01")
    steps = np.diff(np.log([[series[day] for day in days] for series in closes]))

    volatilities = steps.std(axis=1, ddof=1) * np.sqrt(252)
    assert [instrument(symbol).volatility for symbol in CALIBRATED] == pytest.approx(volatilities, abs=0.0006)
    assert [instrument(symbol).loading for symbol in CALIBRATED] == pytest.approx(
        _factor_loadings(np.corrcoef(steps)), abs=0.0006
    )


def _factor_loadings(correlations: Floats) -> Floats:
    """Return loadings by principal axis factoring with one factor, starting from squared multiple correlations."""
    communality = 1 - 1 / np.diag(np.linalg.inv(correlations))
    for _ in range(500):
        reduced = correlations.copy()
        np.fill_diagonal(reduced, communality)
        values, vectors = np.linalg.eigh(reduced)
        communality = values[-1] * vectors[:, -1] ** 2
    loadings: Floats = np.sqrt(communality)
    return loadings
