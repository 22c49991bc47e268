"""`financelake bars`: open, high, low, close, as a table or as candles."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finance_lake.command.app import AsJson, AsOf, Data, End, Start, hint, lake_of, require_ticks

if TYPE_CHECKING:
    from collections.abc import Iterable

SHOWN = 20
# Fewer candles than that say little.
FEW = 10


def bars(
    symbols: Annotated[list[str] | None, typer.Argument(help="Of these symbols (default: all).")] = None,
    *,
    size: Annotated[str, typer.Option(help="How long a bar is: 1s, 5m, 1h, 1d.")] = "1m",
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    last: Annotated[
        int | None, typer.Option(min=1, help="The newest so many of each symbol (default: 20; as many candles as fit).")
    ] = None,
    chart: Annotated[bool, typer.Option("--chart", help="Draw candles.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show bars: what a symbol cost in each stretch of time, and how much was traded."""
    from finance_lake.command.candles import draw, fitting
    from finance_lake.command.display import as_json as encoded
    from finance_lake.command.display import console, print_rows

    lake = lake_of(data)
    result = lake.bars(size, symbols, start, end, as_of)
    newest = _newest(result.rows(), last or (fitting() if chart else SHOWN))
    if not newest or set(symbols or []) - newest.keys():
        require_ticks(lake, symbols or [], as_of)
    rows = [row for of_symbol in newest.values() for row in of_symbol]
    if as_json:
        print(encoded({"version": result.version, "size": size, "rows": rows}))
        return
    if chart:
        for symbol, of_symbol in newest.items():
            console().print(draw(f"{symbol} {size}", of_symbol))
    else:
        print_rows([{**row, "vwap": row["vwap"] and round(row["vwap"], 4)} for row in rows], result.columns)
    symbol = next(iter(newest), "AAPL")
    hint(_next(symbol, chart=chart, few=len(newest.get(symbol, ())) < FEW))


def _newest(rows: Iterable[dict[str, Any]], count: int) -> dict[str, list[dict[str, Any]]]:
    """Give the newest rows of each symbol; rows come by symbol, then time."""
    return {symbol: list(of_symbol)[-count:] for symbol, of_symbol in groupby(rows, itemgetter("symbol"))}


def _next(symbol: str, *, chart: bool, few: bool) -> str:
    if not chart:
        return f"`financelake bars {symbol} --chart`, or `financelake tail {symbol}` for each tick."
    if few:
        return f"`financelake bars {symbol} --chart --size 5s` has more of them."
    return "`make dashboard` shows them as they move."
