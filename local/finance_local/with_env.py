"""Put `.env` into the environment of a command.

The commands themselves read their environment only: in a container there is no `.env`, and there is one parser for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from finance_local import env_file

ENV_FILE = Path(os.environ.get("ENV_FILE", ".env"))
EXAMPLE = Path(".env.example")


def load_env_file(project: Path = Path()) -> None:
    """Put what a project's `.env` says into the environment, where nothing stands there already. Raises EnvFileError."""
    known = env_file.known_keys((project / EXAMPLE).read_text())
    if (project / ENV_FILE).exists():
        for key, value in env_file.parse((project / ENV_FILE).read_text(), known).items():
            os.environ.setdefault(key, value)


def complaint(error: env_file.EnvFileError) -> str:
    """Say what is wrong with the file."""
    return f"{ENV_FILE} is not as it must be:\n{error}\n"
