"""`financelake forget`: take a source's ticks out of every answer, or back."""

from __future__ import annotations

from typing import Annotated

import typer

from finance_lake.cli.app import Data, Tz, lake_of, say


def forget(
    source: Annotated[str, typer.Argument(help="A source, as `financelake sources` lists it.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Bring its ticks back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    tz: Tz = None,
    data: Data = None,
) -> None:
    """Take a source's ticks out of every answer. Its records stay accounted in the quarantine, so `verify` still succeeds.

    `--as-of` an earlier version still shows the ticks. The running job does it; without one this command does.

    Exit codes: 0 done, 1 not done, 2 the lake has no such ticks, or not confirmed.
    """
    import subprocess
    import sys

    from finance_lake.cli.display import stamp
    from finance_lake.sources import by_source, retracted
    from finance_local.importing.opening import answered
    from finance_role.environment import composed

    lake = lake_of(data)
    written = {row["source"]: row for row in by_source(lake)}
    rows = retracted(lake.paths).get(source, 0) if undo else written.get(source, {}).get("rows", 0)
    if not rows:
        kind = "retracted ticks" if undo else "ticks"
        say(f"The lake at {lake.paths.root} has no {kind} of {source}: `financelake sources` lists all.")
        raise typer.Exit(2)
    if not undo:
        row = written[source]
        say(f"{source}: {rows:,} ticks from {stamp(row['first'], tz)} to {stamp(row['last'], tz)}.")
    if not yes and not (sys.stdin.isatty() and answered("Bring them back? [y/N] " if undo else "Forget them? [y/N] ") == "y"):
        say("Nothing is changed. Add --yes where nobody can be asked.")
        raise typer.Exit(2)
    where = {
        "DATA_DIR": str(lake.paths.folder.resolve()),
        "LAKE_URI": str(lake.paths.root) if lake.paths.is_in_a_bucket else "",
    }
    own = {**where, "SOURCE": source, "UNDO": "1" if undo else "0"}
    # In a process of its own, because the job's code needs what this command does not.
    code = subprocess.run([sys.executable, "-m", "finance_job.repair.forget"], env=composed(own)).returncode
    raise typer.Exit(code)
