"""`financelake doctor`: what is missing or broken on this machine, and how to fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from finance_lake.cli.app import AsJson, Data, hint

if TYPE_CHECKING:
    from finance_lake.checks import Way


def doctor(*, as_json: AsJson = False, data: Data = None) -> None:
    """Check this machine and show how to fix what is missing or broken.

    Exit codes: 0 if the lake can run with `make local` or `make up`, else 1.
    """
    from finance_lake.checks import examine
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.config import Settings
    from finance_role.settings import settings_or_exit
    from finance_role.text import plain
    from finance_storage.paths import LakePaths

    settings = settings_or_exit(Settings)
    findings = examine(LakePaths(data) if data else LakePaths.of(settings), settings)
    ways = findings.possible
    if as_json:
        print(encoded({"possible": ways, "runs": findings.runs, "checks": findings.checks}))
        raise typer.Exit(0 if ways else 1)
    for check in findings.checks:
        needed = "" if check.fine or not check.needed else f" ({' and '.join(check.needed)} cannot work)"
        print(f"{'ok  ' if check.fine else '!   '}{check.name:<15} {plain(check.found)}{needed}")
        if check.mend:
            print(f"    {'':<15} {plain(check.mend)}")
    start = f"The lake can run with {' or '.join(f'`{way}`' for way in ways)}." if ways else "The lake cannot run here yet."
    print("The lake is running." if findings.runs else start)
    hint(_next(ways, runs=findings.runs))
    raise typer.Exit(0 if ways else 1)


def _next(ways: list[Way], *, runs: bool) -> str:
    if runs:
        return "`financelake status` shows its state."
    return f"`{ways[0]}`." if ways else "fix what is marked with !, then run `financelake doctor` again."
