"""The secret of a lake's own Spark cluster: drawn once, in a file that only its owner can read.

Standard library only, because `make up` imports this module before anything is installed.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from finance_role.secret_file import keep_secret
from finance_role.secret_file import secret_file as secret_file_of

if TYPE_CHECKING:
    from pathlib import Path

NAME = "spark"
BYTES = 32


def secret_file(data_dir: Path) -> Path:
    """Return the path of the secret."""
    return secret_file_of(data_dir, NAME)


def make_secret(data_dir: Path) -> Path:
    """Draw the secret if there is none yet; return its path. Raises beneath.IrregularError."""
    return keep_secret(data_dir, NAME, f"{secrets.token_urlsafe(BYTES)}\n")
