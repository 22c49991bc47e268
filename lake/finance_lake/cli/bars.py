"""`financelake bars`: open, high, low, close, as a table or as candles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finance_lake.cli.app import AsJson, AsOf, Data, End, Start, hint, lake_of, require_ticks, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

SHOWN = 20
# Of a lake with more symbols these are shown unless somebody names some; a program that asks for JSON gets all.
MAX_SYMBOLS = 100
# Fewer candles than that say little.
FEW = 10
PRICES = ("open", "high", "low", "close")
# A VWAP has more decimals than anybody reads: so many are shown, or as many as the prices have.
VWAP_DECIMALS = 4


def bars(
    symbols: Annotated[list[str] | None, typer.Argument(help="Of these symbols (default: all).")] = None,
    *,
    size: Annotated[str, typer.Option(help="How long a bar is: 1s, 5m, 1h, 1d.")] = "1m",
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="The newest so many of each symbol (default: 20; all with --start, --end or --json)."),
    ] = None,
    chart: Annotated[bool, typer.Option("--chart", help="Draw candles, as many as fit.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show bars: what a symbol cost in each stretch of time, and how much was traded."""
    from finance_lake.cli.candles import draw, fitting
    from finance_lake.cli.display import console, print_json_rows, print_rows
    from finance_lake.query.values import rows

    lake = lake_of(data)
    result = lake.bars(size, symbols, start, end, as_of)
    everything = as_json or (not chart and (start or end))
    most = last or (len(result) if everything else fitting() if chart else SHOWN)
    there = _runs(result.arrow)
    if not len(there) or (symbols and set(symbols) - set(there.field("values").to_pylist())):
        require_ticks(lake, symbols or [], as_of)
    symbols_shown = len(there) if as_json or symbols else min(len(there), MAX_SYMBOLS)
    newest = _newest(result.arrow, there.slice(0, symbols_shown), most)
    cut = newest.num_rows < len(result)
    if as_json:
        print_json_rows({"version": result.version, "size": size, "cut": cut}, newest)
        return
    if chart:
        begin = 0
        for run in _runs(newest).to_pylist():
            console().print(draw(f"{run['values']} {size}", rows(newest.slice(begin, run["counts"])), sys.stdout.encoding))
            begin += run["counts"]
    else:
        print_rows(_shortened(rows(newest)), result.columns)
    _say_what_is_cut(len(result), len(there), symbols_shown, most, cut=cut)
    symbol, count = there[0].as_py().values() if len(there) else ("AAPL", 0)
    hint(_next(symbol, chart=chart, few=min(count, most) < FEW))


def _say_what_is_cut(bars: int, symbols: int, symbols_shown: int, most: int, *, cut: bool) -> None:
    if symbols_shown < symbols:
        say(
            f"The lake has {symbols:,} symbols, these are the first {symbols_shown:,}: name those that you want; "
            "--json and `financelake export --bars` have all."
        )
    elif cut:
        say(f"There are {bars:,} bars, these are the newest {most:,} of each symbol: --last shows more.")


def _runs(bars: pa.Table) -> pa.StructArray:
    """Tell how many bars each symbol has; they come by symbol, then time."""
    import pyarrow.compute as pc

    return pc.value_counts(bars.column("symbol").combine_chunks())


def _newest(bars: pa.Table, symbols: pa.StructArray, most: int) -> pa.Table:
    """Cut the bars to the newest of each of the first symbols, without a look at rows."""
    import numpy as np

    counts = symbols.field("counts").to_numpy()
    left = np.repeat(np.cumsum(counts), counts) - np.arange(counts.sum())  # bars of its symbol from each on, itself too
    return bars.slice(0, int(counts.sum())).filter(left <= most)


def _shortened(bars: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round VWAPs to what the prices beside them can tell."""
    from finance_role.text import price

    told = (len(price(bar[name]).partition(".")[2]) for bar in bars for name in PRICES)
    decimals = max([VWAP_DECIMALS, *told])
    return [{**bar, "vwap": bar["vwap"] and round(bar["vwap"], decimals)} for bar in bars]


def _next(symbol: str, *, chart: bool, few: bool) -> str:
    if not chart:
        return f"`financelake bars {symbol} --chart`, or `financelake tail {symbol}` for each tick."
    if few:
        return f"`financelake bars {symbol} --chart --size 5s` has more of them."
    return "`make dashboard` shows them as they move."
