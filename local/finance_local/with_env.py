"""Run a command with `.env` in its environment: `python -m finance_local.with_env COMMAND ARGUMENT...`, as make does.

The commands themselves read their environment only: in a container there is no `.env`, and there is one parser for it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from finance_local import env_file

ENV_FILE = Path(os.environ.get("ENV_FILE", ".env"))
EXAMPLE = Path(".env.example")
USAGE = 2


def load_env_file(project: Path = Path()) -> None:
    """Put what a project's `.env` says into the environment, where nothing stands there already. Raises EnvFileError."""
    known = env_file.known_keys((project / EXAMPLE).read_text())
    if (project / ENV_FILE).exists():
        for key, value in env_file.parse((project / ENV_FILE).read_text(), known).items():
            os.environ.setdefault(key, value)


def complaint(error: env_file.EnvFileError) -> str:
    """Say what is wrong with the file."""
    return f"{ENV_FILE} is not as it must be:\n{error}\n"


def main() -> NoReturn:
    """Become the command; exit code 2 for a file that is not as it must be."""
    try:
        load_env_file()
    except env_file.EnvFileError as error:
        sys.stderr.write(complaint(error))
        sys.exit(USAGE)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 (a command of the Makefile's)


if __name__ == "__main__":
    main()
