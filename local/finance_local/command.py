"""The `financelake` command of a virtualenv.

In a checkout it reads the lake that `make local` and `make up` run according to `.env`, whatever the working directory.
Installed from a wheel there is no `.env`, and it reads the lake that `--data` or DATA_DIR names. In containers and tests
`python -m finance_lake` is the same command, but reads only its environment.
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
    """Load a checkout's `.env` into the environment; its DATA_DIR is relative to the checkout. Raises EnvFileError."""
    if not (project / EXAMPLE).exists():
        return
    data_dir = os.environ.get("DATA_DIR")
    load_env_file(project)
    if not data_dir:
        folder = Path(os.environ.get("DATA_DIR") or "data")
        os.environ["DATA_DIR"] = str(folder) if folder.is_absolute() else os.path.relpath(project / folder)


def main() -> None:
    """Run the command; exit with code 2 if `.env` is not valid."""
    try:
        prepare(PROJECT)
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        sys.exit(USAGE)
    from finance_lake.cli import app  # noqa: PLC0415 (its imports may read the environment)
    from finance_local.forgetting import forget  # noqa: PLC0415 (likewise)
    from finance_local.importing.command import import_files  # noqa: PLC0415 (likewise)

    # They need the producer and the job, which the images of the other commands do not have.
    app.command("import")(import_files)
    app.command()(forget)
    app()
