"""`financelake check`: prove the copy of a sealed day, without a lake."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import Annotated

import typer

from finance_lake.cli.app import AsJson  # noqa: TC001 (likewise)


def check(
    folder: Annotated[Path, typer.Argument(help="The copied folder of a day, such as date=2026-11-26.")],
    *,
    manifest: Annotated[
        Path | None, typer.Option(help="The day's manifest (default: the newest in the folder or beside it).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that a copied folder holds exactly the ticks of a sealed day. Needs no lake, no log and no broker.

    Exit codes: 0 proven, 11 ticks are missing, 12 duplicate, 13 damaged or changed, 2 wrong usage.
    If several apply: the first of 13, 11, 12. The check is one module, finance_lake/check_date.py; see docs/SEALS.md.
    """
    from finance_lake.check_date import check as checked
    from finance_lake.cli.display import as_json as encoded
    from finance_role.text import plain

    result = checked(folder, manifest)
    print(encoded(result._asdict()) if as_json else "\n".join(map(plain, result.sentences)))
    raise typer.Exit(result.code)
