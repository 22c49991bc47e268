"""`financelake notebook`: the tutorial in the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from finance_lake.cli.app import Data, hint, lake_of, require_ticks, say

TUTORIAL = Path(__file__).parents[1] / "notebook.py"


def notebook(
    *,
    edit: Annotated[
        Path | None, typer.Option(help="Copy the notebook to this file, unless it exists, and open it for editing.")
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 2718,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    data: Data = None,
) -> None:
    """Open the tutorial as a marimo notebook: connect, SQL, bars, as-of join, time travel, proof. Ctrl-C stops it."""
    import importlib.util
    import shutil

    from finance_role import child
    from finance_role.environment import OF_A_DESKTOP, composed
    from finance_storage.place import uri

    if importlib.util.find_spec("marimo") is None:
        raise ModuleNotFoundError(name="marimo")
    lake = lake_of(data)
    require_ticks(lake)
    root = uri(lake.paths.root)
    if edit and not edit.exists():
        shutil.copyfile(TUTORIAL, edit)
    mode = ["edit", str(edit)] if edit else ["run", "--include-code", str(TUTORIAL)]
    options = ["--host", "127.0.0.1", "--port", str(port), *([] if browser else ["--headless"])]
    command = [sys.executable, "-P", "-m", "marimo", "--quiet", *mode, *options, "--", "--data", root]
    say(f"The notebook is at http://127.0.0.1:{port}; Ctrl-C stops it.")
    try:
        raise typer.Exit(child.run(command, composed(also=OF_A_DESKTOP)))
    except KeyboardInterrupt:
        hint("`financelake notebook --edit mine.py` opens a copy for editing.")
