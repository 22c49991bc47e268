"""`financelake doctor`: what this machine lacks, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from finance_lake.cli.app import AsJson, Data, hint

if TYPE_CHECKING:
    from finance_lake.checks import Way


def doctor(*, as_json: AsJson = False, data: Data = None) -> None:
    """Say what is missing or broken on this machine, and how to mend it. Fails only if neither way to run the lake can work."""
    from finance_lake.checks import examine
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.config import Settings
    from finance_role.settings import settings_or_exit
    from finance_role.text import plain
    from finance_storage.paths import LakePaths

    settings = settings_or_exit(Settings)
    found = examine(LakePaths(data or settings.data_dir), settings)
    ways = found.possible
    if as_json:
        print(encoded({"possible": ways, "runs": found.runs, "checks": found.checks}))
        raise typer.Exit(0 if ways else 1)
    for check in found.checks:
        needed = "" if check.fine or not check.needed else f" ({' and '.join(check.needed)} cannot work)"
        print(f"{'ok  ' if check.fine else '!   '}{check.name:<15} {plain(check.found)}{needed}")
        if check.mend:
            print(f"    {'':<15} {plain(check.mend)}")
    can = f"The lake can run by {' or '.join(f'`{way}`' for way in ways)}." if ways else "The lake cannot run here yet."
    print("The lake runs." if found.runs else can)
    hint(_next(ways, runs=found.runs))
    raise typer.Exit(0 if ways else 1)


def _next(ways: list[Way], *, runs: bool) -> str:
    if runs:
        return "`financelake status` says how it is."
    return f"`{ways[0]}`." if ways else "mend what is marked with !, then ask again."
