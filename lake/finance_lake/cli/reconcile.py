"""`financelake reconcile`: whether the stored bars are what their ticks say."""

from __future__ import annotations

import typer

from finance_lake.cli.app import AsJson, Data, Tz, hint, lake_of

MAX_ROWS_SHOWN = 20


def reconcile(*, tz: Tz = None, as_json: AsJson = False, data: Data = None) -> None:
    """Compute all stored 1-minute bars again from their ticks, and compare. Exit code 17 if any bar differs."""
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows
    from finance_lake.derived import reconcile as compare
    from finance_verify.verdict import Code

    found = compare(lake_of(data))
    differing = found.differing.rows()
    if as_json:
        print(encoded({"as_of": found.as_of, "bars": found.bars, "differing": differing}))
    elif differing:
        print_rows(differing[:MAX_ROWS_SHOWN], found.differing.columns, tz)
        print(f"{len(differing):,} of {found.bars:,} bars differ from their ticks as of version {found.as_of}.")
    else:
        print(f"{found.bars:,} bars, each equal to its ticks as of version {found.as_of}.")
        hint("`financelake bars --revisions AAPL 10:31` shows how a bar came to be.")
    raise typer.Exit(Code.DERIVED if differing else 0)
