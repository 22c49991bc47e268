"""`financelake`, as a virtualenv has it.

In a checkout it asks the lake that `make local` and `make up` run by their `.env`, from whichever folder it is called.
Installed from a wheel there is no `.env`: it asks the lake that `--data` or DATA_DIR names. In containers and tests
`python -m finance_lake` is the same command, which reads its environment alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from finance_local import env_file
from finance_local.with_env import EXAMPLE, complaint, load_env_file
from finance_role.exit_codes import USAGE

PROJECT = Path(__file__).parents[2]


def prepare(project: Path) -> None:
    """Put what a checkout's `.env` says into the environment; its DATA_DIR counts from the checkout. Raises EnvFileError."""
    if not (project / EXAMPLE).exists():
        return
    told = os.environ.get("DATA_DIR")
    load_env_file(project)
    if not told:
        folder = Path(os.environ.get("DATA_DIR") or "data")
        os.environ["DATA_DIR"] = str(folder) if folder.is_absolute() else os.path.relpath(project / folder)


def main() -> None:
    """Run it; exit code 2 for a `.env` that is not as it must be."""
    try:
        prepare(PROJECT)
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        sys.exit(USAGE)
    from finance_lake.cli import app  # noqa: PLC0415 (what it imports may read the environment)

    app()
