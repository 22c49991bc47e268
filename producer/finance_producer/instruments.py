"""The simulated instruments: opening price, volatility, correlation with the market, and share of trading.

The volatilities and loadings of AAPL, GOOG, IBM and MSFT are those of their adjusted daily closes from 2004-08-20 to
2013-03-01 in the PyPI package `bokeh-sampledata` (Quandl WIKI, public domain). Volatility is the standard deviation of daily
log returns times the square root of 252. The loadings on one common factor come from principal axis factoring of their
correlations. A test recomputes them. The other figures are plausible round numbers.
"""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32


class Listing(NamedTuple):
    """One symbol: price in cents, annual volatility, correlation with the market factor, relative share of trading."""

    price: int
    volatility: float
    loading: float
    weight: float


_KNOWN = {
    "AAPL": Listing(174_50, 0.379, 0.666, 3.0),
    "MSFT": Listing(372_80, 0.275, 0.725, 2.2),
    "GOOG": Listing(137_20, 0.341, 0.635, 1.6),
    "IBM": Listing(153_40, 0.222, 0.730, 0.6),
    "AMZN": Listing(146_10, 0.35, 0.65, 2.0),
    "NVDA": Listing(487_20, 0.48, 0.60, 3.2),
    "META": Listing(334_90, 0.40, 0.60, 1.4),
    "TSLA": Listing(242_80, 0.55, 0.55, 2.4),
    "JPM": Listing(152_60, 0.26, 0.70, 0.8),
    "XOM": Listing(104_30, 0.25, 0.45, 0.9),
    "KO": Listing(58_40, 0.16, 0.50, 0.7),
}


def listing(symbol: str) -> Listing:
    """Return the known listing of a symbol, or one derived from its name, always the same."""
    return _KNOWN.get(symbol) or _invented(crc32(symbol.encode()))


def _invented(number: int) -> Listing:
    number, cents = divmod(number, 290_00)
    number, volatility = divmod(number, 30)
    loading = number % 40
    return Listing(10_00 + cents, 0.18 + volatility / 100, 0.35 + loading / 100, 1.0)
