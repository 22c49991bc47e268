"""`financelake bars`: open, high, low and close, as a table or as candles."""

from __future__ import annotations

import re
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finance_lake.cli.app import AsJson, AsOf, Data, End, Start, hint, known_zone, lake_of, require_ticks, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from finance_lake.lake import Lake

MAX_BARS_SHOWN = 20
# Symbols shown when none are named. --json returns all.
MAX_SYMBOLS = 100
# With fewer candles the hint suggests a smaller bar size.
FEW = 10
PRICES = ("open", "high", "low", "close")
# Decimals of a VWAP shown; more if the prices have more.
VWAP_DECIMALS = 4
CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}")


def bars(
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols to show (default: all).")] = None,
    *,
    size: Annotated[str, typer.Option(help="Bar size, such as 1s, 5m, 1h, 1d, 1w or 1mo.")] = "1m",
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    as_known_at: Annotated[
        str | None,
        typer.Option(help="Stored 1-minute bars as known at this time or version; unlike --as-of, not limited to a week."),
    ] = None,
    last: Annotated[
        int | None,
        typer.Option(min=1, help="Newest bars of each symbol to show (default: 20; all with --start, --end or --json)."),
    ] = None,
    revisions: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="SYMBOL MINUTE", help="All revisions of a stored bar: AAPL 10:31 (today, UTC) or an ISO time."),
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(
            callback=known_zone,
            metavar="ZONE",
            help="Time zone of days, of times shown, and of --start and --end, such as America/New_York.",
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option(metavar="EXCHANGE", help="Only ticks of this exchange's sessions, such as XNYS or XLON.")
    ] = None,
    chart: Annotated[bool, typer.Option("--chart", help="Draw candles, as many as fit the terminal.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show bars: open, high, low, close, volume, VWAP and number of ticks."""
    from finance_lake.cli.candles import draw, max_candles
    from finance_lake.cli.display import console, in_zone, print_json_rows, print_rows
    from finance_lake.derived import SIZE
    from finance_lake.derived import bars as stored_bars
    from finance_lake.query.values import rows

    lake = lake_of(data)
    if revisions:
        _show_revisions(lake, *revisions, tz, as_json=as_json)
        return
    if as_known_at is None:
        result = lake.bars(size, symbols, start, end, as_of, tz=tz, session=session)
    elif size == SIZE and as_of is None and session is None:
        result = stored_bars(lake, symbols, start, end, as_known_at=as_known_at)
    else:
        raise typer.BadParameter(f"--as-known-at reads stored bars of {SIZE}: leave out --size, --as-of and --session")
    everything = as_json or (not chart and (start or end))
    most = last or (len(result) if everything else max_candles() if chart else MAX_BARS_SHOWN)
    counts = _bars_per_symbol(result.arrow)
    if not len(counts) or (symbols and set(symbols) - set(counts.field("values").to_pylist())):
        require_ticks(lake, symbols or [], as_of)
    symbols_shown = len(counts) if as_json or symbols else min(len(counts), MAX_SYMBOLS)
    newest = _newest(result.arrow, counts.slice(0, symbols_shown), most)
    cut = newest.num_rows < len(result)
    if as_json:
        print_json_rows({"version": result.version, "size": size, "cut": cut}, newest)
        return
    if chart:
        begin = 0
        for entry in _bars_per_symbol(newest).to_pylist():
            drawn = [{**bar, "ts": in_zone(bar["ts"], tz)} for bar in rows(newest.slice(begin, entry["counts"]))]
            console().print(draw(f"{entry['values']} {size}", drawn, sys.stdout.encoding))
            begin += entry["counts"]
    else:
        print_rows(_shortened(rows(newest)), result.columns, tz)
    _report_cut(len(result), len(counts), symbols_shown, most, cut=cut)
    symbol, count = counts[0].as_py().values() if len(counts) else ("AAPL", 0)
    hint(_next(symbol, chart=chart, few=min(count, most) < FEW))


def _show_revisions(lake: Lake, symbol: str, minute: str, tz: str | None, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from finance_lake.cli.display import print_json_rows, print_rows
    from finance_lake.derived import revisions

    at = f"{datetime.now(UTC):%Y-%m-%d}T{minute}" if CLOCK.fullmatch(minute) else minute
    result = revisions(lake, symbol, at)
    if as_json:
        print_json_rows({"version": result.version}, result.arrow)
    elif len(result):
        print_rows(result.rows(), result.columns, tz)
    else:
        say(f"No bar of {symbol} begins at {at} UTC.")


def _report_cut(bars: int, symbols: int, symbols_shown: int, most: int, *, cut: bool) -> None:
    if symbols_shown < symbols:
        say(
            f"Showing the first {symbols_shown:,} of {symbols:,} symbols: name the symbols you want, "
            "or use --json or `financelake export --bars` for all."
        )
    elif cut:
        say(f"Showing the newest {most:,} bars of each symbol, out of {bars:,} bars in all: --last shows more.")


def _bars_per_symbol(bars: pa.Table) -> pa.StructArray:
    """Count the bars of each symbol. The bars are sorted by symbol, then time."""
    import pyarrow.compute as pc

    return pc.value_counts(bars.column("symbol").combine_chunks())


def _newest(bars: pa.Table, symbols: pa.StructArray, most: int) -> pa.Table:
    """Return the newest `most` bars of each of the first symbols, whose counts `symbols` has. Works on columns, not rows."""
    import numpy as np

    counts = symbols.field("counts").to_numpy()
    left = np.repeat(np.cumsum(counts), counts) - np.arange(counts.sum())  # bars of the same symbol from each bar on, inclusive
    return bars.slice(0, int(counts.sum())).filter(left <= most)


def _shortened(bars: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round VWAPs to the largest number of decimals among the prices, at least VWAP_DECIMALS."""
    from finance_role.text import price

    price_decimals = (len(price(bar[name]).partition(".")[2]) for bar in bars for name in PRICES)
    decimals = max([VWAP_DECIMALS, *price_decimals])
    return [{**bar, "vwap": bar["vwap"] and round(bar["vwap"], decimals)} for bar in bars]


def _next(symbol: str, *, chart: bool, few: bool) -> str:
    symbol = shlex.quote(symbol)
    if not chart:
        return f"`financelake bars {symbol} --chart` draws candles, `financelake tail {symbol}` shows each tick."
    if few:
        return f"`financelake bars {symbol} --chart --size 5s` draws more candles."
    return "`make dashboard` shows live candles."
