"""The lake's data files as DuckDB may open them: by name, for reading.

DuckDB may also write what it may read: its `allowed_paths` make no difference between the two, and Linux opens a path below
/proc/self/fd anew, in whatever mode a statement asks for. So DuckDB gets no path at all. It gets names, such as
`lake://ticks/date=2026-11-24/part-0.parquet`, of a file system of our own which opens files in one way: read-only. No statement
reaches past it, on any kernel. Names are taken literally: no globs, and no keys from folders above the table.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec import AbstractFileSystem

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL = "lake"
READ = "rb"


def name_of(table: str, path: str) -> str:
    """Give the name of a data file; `path` is relative to the folder of its table."""
    return f"{PROTOCOL}://{table}/{path}"


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Data files, by name. What fsspec could do beyond reading them stays undone: its base class refuses.

    Attributes:
        failure: why a file could not be opened; DuckDB wraps it in a traceback

    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, paths: Mapping[str, str]) -> None:
        """Know which path each name stands for."""
        super().__init__()
        self._paths = paths
        self.failure: OSError | None = None

    def open(self, path: str, mode: str = READ, **_: Any) -> BinaryIO:  # noqa: ANN401
        """Open a data file for reading. Raises PermissionError for any other mode."""
        if mode != READ:
            raise PermissionError(f"{path} is read here, never written")
        try:
            return _opened(self._path(path))
        except OSError as error:
            self.failure = error
            raise

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """Tell the size of a data file."""
        return {"name": path, "size": os.stat(self._path(path)).st_size, "type": "file"}  # noqa: PTH116

    def modified(self, path: str) -> datetime:
        """Tell when it was written; a data file never changes."""
        return datetime.fromtimestamp(os.stat(self._path(path)).st_mtime, UTC)  # noqa: PTH116

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401
        """Whether a name is known."""
        return path in self._paths

    def isfile(self, path: str) -> bool:
        """Whether a name is known: there are only files."""
        return path in self._paths

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """Give the name itself: it is a name, not a pattern."""
        return [path] if path in self._paths else []

    def _path(self, name: str) -> str:
        if name not in self._paths:
            raise FileNotFoundError(f"{name} is no file of the lake")
        return self._paths[name]


def _opened(path: str) -> BinaryIO:
    # A pipe in a file's place must not hold the process up, and a link leads out of the lake.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"{path} is no regular file")
    return os.fdopen(descriptor, "rb")
