"""`financelake export`: write ticks or bars to a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import Annotated

import typer

from finance_lake.cli.app import AsJson, AsOf, Data, End, Start, hint, lake_of, require_ticks


def export(
    target: Annotated[Path, typer.Argument(help="The file to write: .parquet, .csv or .arrow sets the format.")],
    *,
    symbol: Annotated[list[str] | None, typer.Option(help="Only this symbol; repeat for several.")] = None,
    bars: Annotated[str | None, typer.Option(help="Bars of this size instead of ticks, such as 1m.")] = None,
    start: Start = None,
    end: End = None,
    as_of: AsOf = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Write ticks in order of time, or bars by symbol and time, to a file. The file appears only when it is complete."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import progress
    from finance_lake.export import write

    lake = lake_of(data)
    symbols = symbol or []
    if bars:
        table = lake.bars(bars, symbols, start, end, as_of).arrow
        total, schema, batches = table.num_rows, table.schema, iter(table.to_batches())
    else:
        total, schema, batches = lake.batches(*symbols, start=start, end=end, as_of=as_of)
    require_ticks(lake, symbols, as_of)
    with progress() as bar:
        task = bar.add_task("writing", total=total)
        rows = write(target, schema, batches, force=force, advance=lambda count: bar.advance(task, count))
    size = target.stat().st_size
    if as_json:
        print(encoded({"path": str(target), "rows": rows, "bytes": size}))
        return
    print(f"{rows:,} rows, {size:,} bytes in {target}")
    hint(f'`polars.read_{"ipc" if target.suffix == ".arrow" else target.suffix[1:]}("{target}")`.')
