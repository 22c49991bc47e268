"""`financelake tail`: follow ticks as they are committed."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import Data, Tz, hint, lake_of, report_if_empty, report_unknown_symbols
from finance_storage.errors import FILL, NoLakeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.lake import Lake

POLL_SECONDS = 0.2
POLL_SECONDS_IN_A_BUCKET = 0.5


def tail(
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols to follow (default: all).")] = None,
    *,
    lines: Annotated[int, typer.Option(min=0, help="Number of existing ticks to show first.")] = 10,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many ticks.")] = None,
    tz: Tz = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    data: Data = None,
) -> None:
    """Show ticks as they are committed, until Ctrl-C."""
    from functools import partial
    from itertools import islice

    from finance_lake.cli.display import as_json as encoded
    from finance_lake.query.selection import selection

    lake = lake_of(data)
    selection(symbols)  # report an invalid symbol before waiting for ticks
    if not report_if_empty(lake.paths, lake.count()):
        report_unknown_symbols(lake, symbols or [])
    show = encoded if as_json else partial(line, tz=tz)
    try:
        for row in islice(ticks(lake, symbols or [], lines), count):
            print(show(row), flush=True)
    except KeyboardInterrupt:
        print()
    if not as_json:
        hint(f"`financelake bars {shlex.quote((symbols or ['AAPL'])[0])} --chart`.")


def ticks(lake: Lake, symbols: list[str], before: int) -> Iterator[dict[str, object]]:
    """Yield the newest existing ticks, then the ticks of each new commit. Raises NoLakeError if the lake is deleted."""
    from finance_storage.delta_log import LogTail

    log, version = LogTail(lake.paths.ticks), lake.version
    yield from _newest(lake, symbols, before, version)
    while True:
        if (newest := log.poll()) is None:
            raise NoLakeError(f"The lake at {lake.paths.root} was deleted: {FILL}")
        if newest > version:
            yield from lake.since(version, *symbols, as_of=newest).rows()
            version = newest
        time.sleep(POLL_SECONDS_IN_A_BUCKET if lake.paths.is_in_a_bucket else POLL_SECONDS)


def line(row: dict[str, object], tz: str | None = None) -> str:
    """Format a tick: time in a zone, symbol, price, size, partition and offset."""
    from finance_lake.cli.display import cell, in_zone

    size = "" if row["size"] is None else f" x {cell(row['size'])}"
    place = f"{row['kafka_partition']}:{row['kafka_offset']}"
    return f"{in_zone(row['ts_event'], tz):%H:%M:%S.%f}  {cell(row['symbol']):<8} {cell(row['price']):>14}{size:<12}  {place}"


def _newest(lake: Lake, symbols: list[str], count: int, version: int) -> list[dict[str, object]]:
    from finance_storage.errors import RequestError

    rows: list[dict[str, object]] = []
    for earlier in range(version - 1, -1, -1):
        if len(rows) >= count or version - earlier > 100:  # noqa: PLR2004 (far enough for a rare symbol)
            break
        try:
            rows = lake.since(earlier, *symbols, as_of=earlier + 1).rows() + rows
        except RequestError:  # the log begins there, or the files of that version were removed
            break
    return rows[len(rows) - count :] if count < len(rows) else rows
