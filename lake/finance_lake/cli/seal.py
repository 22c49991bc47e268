"""`financelake seal`: the sealed days, for people and for schedulers that wait for one."""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finance_lake.cli.app import AsJson, Data, Tz, hint, paths_of, say

if TYPE_CHECKING:
    from finance_storage.paths import LakePaths
    from finance_storage.seals import Manifest

EXIT_NOT_SEALED = 3
POLL_SECONDS = 0.5


def _as_date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date such as 2026-11-26") from None


def seal(
    *,
    day: Annotated[
        date | None, typer.Option("--date", parser=_as_date, metavar="DATE", help="Only this UTC date of arrival.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Wait up to this many seconds until --date is sealed.")] = 0.0,
    copy: Annotated[Path | None, typer.Option(help="Copy the files and the manifest of --date into this folder.")] = None,
    tz: Tz = None,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """List the sealed days: dates of arrival whose ticks are final, each with a manifest in data/seals.

    Exit codes with --date: 0 sealed, 3 not sealed (yet, or no longer), 11 sealed, but records of the day are missing.
    """
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import print_rows
    from finance_lake.day_copy import copy_day
    from finance_verify.verdict import Code

    if (wait or copy) and not day:
        raise typer.BadParameter("--wait and --copy need a day: name it with --date")
    paths = paths_of(data)
    until, manifests = _waited(paths, day, time.monotonic() + wait)
    rows = [_row(paths, manifest) for manifest in manifests]
    if as_json:
        print(encoded({"finalized_until": until, "days": rows}))
    elif rows:
        print_rows(rows, [name for name in rows[0] if name != "complete"], tz)
    if day and not rows:
        say(_not_sealed(day, until))
        raise typer.Exit(EXIT_NOT_SEALED)
    suggestion = "`financelake seal --date DATE --copy FOLDER` copies a day, and `financelake check` proves the copy."
    if copy:
        suggestion = f"`financelake check {copy_day(paths, manifests[0], copy)}` proves the copy."
    if not as_json:
        print(f"All days before {until} are sealed." if until else "No day is sealed yet: the job seals one when it is over.")
        hint(suggestion)
    if day and not rows[0]["complete"]:
        raise typer.Exit(Code.GAP)


def _not_sealed(day: date, until: date | None) -> str:
    if until is None:
        return f"{day} is not sealed: no day is yet."
    if day < until:
        return f"{day} has no manifest: the lake's first ticks are of a later day, or the manifest was removed."
    return f"{day} is not sealed: all days before {until} are."


def _waited(paths: LakePaths, day: date | None, deadline: float) -> tuple[date | None, list[Manifest]]:
    """Return the sealed days, or the one that is wanted, as soon as it is sealed or the time is over."""
    while True:
        until, manifests = _sealed(paths, day)
        if manifests or not day or time.monotonic() >= deadline:
            return until, manifests
        time.sleep(POLL_SECONDS)


def _sealed(paths: LakePaths, day: date | None) -> tuple[date | None, list[Manifest]]:
    from finance_lake.query.snapshot import open_snapshot
    from finance_storage.seals import sealed

    while True:
        manifests = list(sealed(paths, until := open_snapshot(paths).finalized_until, day))
        if until == open_snapshot(paths).finalized_until:  # else a day was opened or sealed meanwhile
            return until, manifests


def _row(paths: LakePaths, manifest: Manifest) -> dict[str, Any]:
    from finance_storage.seals import manifest_file

    return {
        "date": manifest.date,
        "revision": manifest.revision,
        "rows": manifest.rows,
        "quarantined": sum(manifest.quarantined.values()),
        "sealed_at": manifest.sealed_at,
        "complete": manifest.complete,
        "verdict": manifest.verdict,
        "manifest": str(manifest_file(paths, manifest.date, manifest.revision)),
    }
