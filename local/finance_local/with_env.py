"""Load `.env` into the environment of a command.

The commands themselves read only their environment, because there is no `.env` in a container, and only one parser for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from finance_local import env_file

ENV_FILE = Path(os.environ.get("ENV_FILE", ".env"))
EXAMPLE = Path(".env.example")


def load_env_file(project: Path = Path()) -> None:
    """Load a project's `.env` into the environment, without overriding variables. Raises EnvFileError."""
    known = env_file.known_keys((project / EXAMPLE).read_text())
    if (project / ENV_FILE).exists():
        for key, value in env_file.parse((project / ENV_FILE).read_text(), known).items():
            os.environ.setdefault(key, value)


def complaint(error: env_file.EnvFileError) -> str:
    """Return a message about an invalid `.env`."""
    return f"{ENV_FILE} is not valid:\n{error}\n"
