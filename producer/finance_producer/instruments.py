"""The simulated instruments: opening price, volatility, correlation with the market, and share of trading.

The volatilities and loadings of AAPL, GOOG, IBM and MSFT are those of their adjusted daily closes from 2004-08-20 to
2013-03-01 in the PyPI package `bokeh-sampledata` (Quandl WIKI, public domain). Volatility is the standard deviation of daily
log returns times the square root of 252. The loadings on one common factor come from principal axis factoring of their
correlations. A test recomputes them. The other figures are plausible round numbers.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32


class Instrument(NamedTuple):
    """One symbol: price in cents, annual volatility, correlation with the market factor, relative share of trading."""

    price: int
    volatility: float
    loading: float
    weight: float


_KNOWN = {
    "AAPL": Instrument(174_50, 0.379, 0.666, 3.0),
    "MSFT": Instrument(372_80, 0.275, 0.725, 2.2),
    "GOOG": Instrument(137_20, 0.341, 0.635, 1.6),
    "IBM": Instrument(153_40, 0.222, 0.730, 0.6),
    "AMZN": Instrument(146_10, 0.35, 0.65, 2.0),
    "NVDA": Instrument(487_20, 0.48, 0.60, 3.2),
    "META": Instrument(334_90, 0.40, 0.60, 1.4),
    "TSLA": Instrument(242_80, 0.55, 0.55, 2.4),
    "JPM": Instrument(152_60, 0.26, 0.70, 0.8),
    "XOM": Instrument(104_30, 0.25, 0.45, 0.9),
    "KO": Instrument(58_40, 0.16, 0.50, 0.7),
}


def instrument(symbol: str) -> Instrument:
    """Return the instrument of a symbol; figures of an unknown symbol are derived from its name, always the same."""
    return _KNOWN.get(symbol) or _invented(crc32(symbol.encode()))


def _invented(number: int) -> Instrument:
    number, cents = divmod(number, 290_00)
    number, volatility = divmod(number, 30)
    loading = number % 40
    return Instrument(10_00 + cents, 0.18 + volatility / 100, 0.35 + loading / 100, 1.0)
