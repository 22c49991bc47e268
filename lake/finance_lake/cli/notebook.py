"""`financelake notebook`: the tutorial in the browser."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from finance_lake.cli.app import Data, hint, lake_of, require_ticks, say
from finance_role.ports import LOOPBACK, listens

TUTORIAL = Path(__file__).parents[1] / "notebook.py"
START_SECONDS = 60.0
POLL_SECONDS = 0.2


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
    # marimo itself would open the page without its code.
    options = ["--host", "127.0.0.1", "--port", str(port), "--headless"]
    command = [sys.executable, "-P", "-m", "marimo", "--quiet", *mode, *options, "--", "--data", root]
    address = f"http://127.0.0.1:{port}{'' if edit else '/?show-code=true'}"
    say(f"The notebook is at {address}; Ctrl-C stops it.")
    if browser:
        threading.Thread(target=_show_when_it_answers, args=(address, port), daemon=True).start()
    try:
        raise typer.Exit(child.run(command, composed(also=OF_A_DESKTOP)))
    except KeyboardInterrupt:
        hint("`financelake notebook --edit mine.py` opens a copy for editing.")


def _show_when_it_answers(address: str, port: int) -> None:
    """Open the page in a browser once the server listens."""
    import webbrowser

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if listens(LOOPBACK, port):
            webbrowser.open(address)
            return
        time.sleep(POLL_SECONDS)
