"""The secret of a lake's own Spark cluster: drawn once, in a file that only its owner can read.

Standard library only, because `make up` imports this module before anything is installed.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from finance_role import beneath

BYTES = 32


def secret_file(data_dir: Path) -> Path:
    """Return the path of the secret."""
    return data_dir / "secrets" / "spark"


def make_secret(data_dir: Path) -> Path:
    """Draw the secret if there is none yet; return its path. Raises beneath.IrregularError."""
    file = secret_file(data_dir)
    beneath.make_folder(data_dir, file.parent, 0o700)
    umask = os.umask(0o077)
    try:
        with suppress(FileExistsError):
            beneath.write_whole(data_dir, file, secrets.token_urlsafe(BYTES).encode() + b"\n", replace=False)
    finally:
        os.umask(umask)
    return file
