"""`financelake bars`: open, high, low, close, as a table or as candles."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finance_lake.command.app import AsJson, AsOf, Data, End, Start, hint, lake_of, require_ticks, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

SHOWN = 20
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
    from finance_lake.command.candles import draw, fitting
    from finance_lake.command.display import as_json as encoded
    from finance_lake.command.display import console, print_rows
    from finance_lake.reading.values import rows

    lake = lake_of(data)
    result = lake.bars(size, symbols, start, end, as_of)
    everything = as_json or (not chart and (start or end))
    most = last or (len(result) if everything else fitting() if chart else SHOWN)
    newest = {symbol: rows(table) for symbol, table in _newest(result.arrow, most).items()}
    if not newest or set(symbols or []) - newest.keys():
        require_ticks(lake, symbols or [], as_of)
    shown = [row for of_symbol in newest.values() for row in of_symbol]
    cut = len(shown) < len(result)
    if as_json:
        print(encoded({"version": result.version, "size": size, "cut": cut, "rows": shown}))
        return
    if chart:
        for symbol, of_symbol in newest.items():
            console().print(draw(f"{symbol} {size}", of_symbol, sys.stdout.encoding))
    else:
        print_rows(_shortened(shown), result.columns)
    if cut:
        say(f"There are {len(result):,} bars, these are the newest {most:,} of each symbol: --last shows more.")
    symbol = next(iter(newest), "AAPL")
    hint(_next(symbol, chart=chart, few=len(newest.get(symbol, ())) < FEW))


def _newest(bars: pa.Table, most: int) -> dict[str, pa.Table]:
    """Cut the bars to the newest of each symbol; they come by symbol, then time."""
    import pyarrow.compute as pc

    newest, end = {}, 0
    for run in pc.value_counts(bars.column("symbol")).to_pylist():
        end += run["counts"]
        count = min(run["counts"], most)
        newest[run["values"]] = bars.slice(end - count, count)
    return newest


def _shortened(bars: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round VWAPs to what the prices beside them can tell."""
    from finance_lake.text import price

    told = (len(price(bar[name]).partition(".")[2]) for bar in bars for name in PRICES)
    decimals = max([VWAP_DECIMALS, *told])
    return [{**bar, "vwap": bar["vwap"] and round(bar["vwap"], decimals)} for bar in bars]


def _next(symbol: str, *, chart: bool, few: bool) -> str:
    if not chart:
        return f"`financelake bars {symbol} --chart`, or `financelake tail {symbol}` for each tick."
    if few:
        return f"`financelake bars {symbol} --chart --size 5s` has more of them."
    return "`make dashboard` shows them as they move."
