"""Secrets of a lake's own processes: each is drawn once, in a file that only its owner can read.

Standard library only, because `make up` imports this module before anything is installed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from finance_role import beneath

if TYPE_CHECKING:
    from pathlib import Path


def secret_file(data_dir: Path, name: str) -> Path:
    """Return the path of a secret."""
    return data_dir / "secrets" / name


def keep_secret(data_dir: Path, name: str, content: str) -> Path:
    """Write a secret if there is none yet; return its path. Raises beneath.IrregularError."""
    file = secret_file(data_dir, name)
    beneath.make_folder(data_dir, file.parent, 0o700)
    umask = os.umask(0o077)
    try:
        with suppress(FileExistsError):
            beneath.write_whole(data_dir, file, content.encode(), replace=False)
    finally:
        os.umask(umask)
    return file
