"""`financelake bars`: open, high, low, close, as a table or as candles."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.command.app import AsJson, AsOf, Data, End, Start, hint, lake_of, require_known


def bars(
    symbols: Annotated[list[str] | None, typer.Argument(help="Of these symbols (default: all).")] = None,
    *,
    size: Annotated[str, typer.Option(help="How long a bar is: 1s, 5m, 1h, 1d.")] = "1m",
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    last: Annotated[int, typer.Option(min=1, help="The newest so many of each symbol.")] = 20,
    chart: Annotated[bool, typer.Option("--chart", help="Draw candles.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show bars: what a symbol cost in each stretch of time, and how much was traded."""
    from finance_lake.command.candles import draw
    from finance_lake.command.display import as_json as encoded
    from finance_lake.command.display import console, print_rows

    lake = lake_of(data)
    result = lake.bars(size, symbols, start, end, as_of)
    if not len(result):
        require_known(lake, symbols or [], as_of)
    by_symbol: dict[str, list[dict[str, object]]] = {}
    for row in result.rows():
        by_symbol.setdefault(row["symbol"], []).append(row)
    newest = [row for rows in by_symbol.values() for row in rows[-last:]]
    if as_json:
        print(encoded({"version": result.version, "size": size, "rows": newest}))
        return
    if chart:
        for symbol, rows in by_symbol.items():
            console().print(draw(f"{symbol} {size}", rows[-last:]))
    else:
        print_rows(newest, result.columns)
    example = next(iter(by_symbol), "AAPL")
    hint(
        f"`financelake bars {example} --chart`, or `financelake tail {example}` for each tick."
        if not chart
        else "`financelake sql`."
    )
