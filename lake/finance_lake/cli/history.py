"""`financelake history`: the versions of the table of ticks."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import AsJson, Data, Tz, hint, lake_of, report_if_empty


def history(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Newest versions to list.")] = 20,
    tz: Tz = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the versions of the table of ticks: commit time, rows added, and total rows."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows

    lake = lake_of(data)
    result = lake.history(limit)
    if as_json:
        print(encoded({"version": result.version, "rows": result.rows()}))
        return
    rows = result.rows()
    shown = [{**row, "files": f"+{row['files_added']} -{row['files_removed']}"} for row in rows]
    print_rows(shown, ["version", "ts", "operation", "sequence", "rows", "total", "files"], tz)
    report_if_empty(lake.paths, rows[0]["total"])
    earlier = rows[len(rows) // 2]["version"]
    hint(f"`financelake bars --as-of {earlier}` reads that version.")
