"""A realistic simulated market: seeded and endless. The same seed and symbols give the same trades for any block sizes.

Time is counted in trades, `TRADES_PER_DAY` of them a day: at 100 ticks a second the market runs in real time.

- Log prices follow one common factor plus a random walk for each symbol (volatilities and loadings: `instrument`), with
  Student t steps. They revert to their start over `REVERSION_DAYS`, so that prices stay plausible in long runs.
- Volatility clusters: its logarithm is the sum of a fast and a slow autoregression (log-normal stochastic volatility,
  S. J. Taylor, Modelling Financial Time Series, 1986).
- Trading comes in bursts: a trade may trigger another one in its symbol shortly after. This is a Hawkes process with trades as
  its clock, drawn by its clusters (A. G. Hawkes and D. Oakes, A cluster process representation, 1974). A symbol's own walk
  moves when it trades, so symbols that trade more move more.
- A trade happens at the bid or at the ask (R. Roll, 1984), whole cents apart. Its size is log-normal, often a round lot.

The model computes in floats. The price of a trade is a whole number of cents and is written from that integer.

The bytes are the same only with the same numpy version and processor family: elsewhere logarithms may differ in the last bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_producer.instruments import instrument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Floats = NDArray[np.float64]

TRADES_PER_DAY = 23_400 * 100
TRADING_DAYS_A_YEAR = 252
REVERSION_DAYS = 20

CHUNK = 4096
STEP = 64  # trades with the same volatility
STUDENT_DEGREES = 4
VOLATILITY_HALF_LIVES = np.array([3_000, 300_000])  # trades
VOLATILITY_SPREADS = np.array([0.35, 0.40])  # standard deviations of log volatility

OFFSPRING = 0.75  # trades that a trade triggers, on average
OFFSPRING_DELAY = 40  # trades until such a trade, on average

SPREAD = 1e-4  # of the price, and at least one cent
ROUND_LOTS = 0.6
SIZE_MEDIAN = 90
SIZE_SIGMA = 1.1


class Trades(NamedTuple):
    """Trades in order: index of the symbol, price in cents, size in shares."""

    symbol: Integers
    cents: Integers
    size: Integers

    def first(self, count: int) -> Trades:
        """Return the first `count` trades."""
        return Trades(*(column[:count] for column in self))

    def after(self, count: int) -> Trades:
        """Return all trades but the first `count`."""
        return Trades(*(column[count:] for column in self))


class Market:
    """A simulated market; `block(n)` returns its next n trades."""

    def __init__(self, symbols: Sequence[str], seed: int) -> None:
        """Open the market; every symbol starts at its listed price."""
        price, volatility, loading, weight = np.array([instrument(symbol) for symbol in symbols]).T
        share = weight / weight.sum()
        daily = volatility / np.sqrt(TRADING_DAYS_A_YEAR)
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._log_price = np.log(price)
        self._exposure = daily * loading  # to the factor, which moves by 1 a day
        self._own_step = daily * np.sqrt((1 - loading**2) / (TRADES_PER_DAY * share))
        self._shares = np.cumsum(share)
        self._factor = 0.0
        self._own = np.zeros(len(symbols))
        self._log_volatility = np.zeros(2)
        self._traded = np.arange(CHUNK) % len(symbols)
        self._ready = Trades(*np.empty((3, 0), dtype=np.int64))

    def block(self, count: int) -> Trades:
        """Return the next `count` trades; the sequence does not depend on the sizes of the blocks."""
        if (missing := count - len(self._ready.symbol)) > 0:
            chunks = [self._ready, *(self._chunk() for _ in range(-(-missing // CHUNK)))]
            self._ready = Trades(*map(np.concatenate, zip(*chunks, strict=True)))
        block, self._ready = self._ready.first(count), self._ready.after(count)
        return block

    def _chunk(self) -> Trades:
        symbol = self._traded = self._who_trades()
        return Trades(symbol, self._cents(np.exp(self._log_prices(symbol))), self._sizes())

    def _who_trades(self) -> Integers:
        """Draw the symbol of each trade: by its share of trading, or that of the earlier trade that triggered it."""
        news = np.searchsorted(self._shares[:-1], self._random.random(CHUNK), side="right")
        delay = np.minimum(self._random.geometric(1 / OFFSPRING_DELAY, CHUNK), CHUNK)
        place = np.arange(CHUNK, 2 * CHUNK)
        cause = np.concatenate([np.arange(CHUNK), np.where(self._random.random(CHUNK) < OFFSPRING, place - delay, place)])
        return np.concatenate([self._traded, news])[_roots(cause)[CHUNK:]]

    def _log_prices(self, symbol: Integers) -> Floats:
        """Move the factor and the symbol of each trade by one step; return that symbol's log price after each trade."""
        decay = np.exp(-CHUNK / (REVERSION_DAYS * TRADES_PER_DAY))
        shock = self._random.standard_t(STUDENT_DEGREES, (2, CHUNK)) / np.sqrt(STUDENT_DEGREES / (STUDENT_DEGREES - 2))
        shock *= np.repeat(self._volatility(), STEP)
        factor = self._factor * decay + np.cumsum(shock[0]) / np.sqrt(TRADES_PER_DAY)
        own, self._own = _walks(symbol, shock[1] * self._own_step[symbol], self._own * decay)
        self._factor = float(factor[-1])
        log_price: Floats = self._log_price[symbol] + self._exposure[symbol] * factor + own
        return log_price

    def _volatility(self) -> Floats:
        """Return the volatility of each step of a chunk; its mean square is 1."""
        memory = 0.5 ** (STEP / VOLATILITY_HALF_LIVES)
        surprise = self._random.standard_normal((CHUNK // STEP, 2)) * VOLATILITY_SPREADS * np.sqrt(1 - memory**2)
        path = np.empty_like(surprise)
        for step, change in enumerate(surprise):
            path[step] = self._log_volatility = self._log_volatility * memory + change
        volatility: Floats = np.exp(path.sum(axis=1) - (VOLATILITY_SPREADS**2).sum())
        return volatility

    def _cents(self, middle: Floats) -> Integers:
        """Put each trade on the bid or on the ask around the middle, in whole cents, the bid at 1 cent or more."""
        spread = np.maximum(np.rint(middle * SPREAD), 1)
        bid = np.maximum(np.floor(middle - (spread - 1) / 2), 1)
        at_ask = self._random.random(CHUNK) < 1 / 2
        return np.asarray(bid + spread * at_ask, dtype=np.int64)

    def _sizes(self) -> Integers:
        shares = np.ceil(self._random.lognormal(np.log(SIZE_MEDIAN), SIZE_SIGMA, CHUNK))
        lots = np.ceil(shares / 100) * 100
        return np.where(self._random.random(CHUNK) < ROUND_LOTS, lots, shares).astype(np.int64)


def _roots(cause: Integers) -> Integers:
    """Follow each cause to its root, which is its own cause; each pass doubles the distance covered."""
    while not np.array_equal(further := cause[cause], cause):
        cause = further
    return cause


def _walks(symbol: Integers, steps: Floats, start: Floats) -> tuple[Floats, Floats]:
    """Sum each symbol's own steps from its start; return the value at each trade and the last value of each symbol."""
    order = np.argsort(symbol, kind="stable")
    walked = np.cumsum(steps[order])
    counts = np.bincount(symbol, minlength=len(start))
    bounds = np.concatenate([[0.0], walked])[np.concatenate([[0], np.cumsum(counts)])]
    values = np.empty_like(walked)
    values[order] = walked + np.repeat(start - bounds[:-1], counts)
    return values, start + np.diff(bounds)
