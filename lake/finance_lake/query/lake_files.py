"""A read-only file system of the lake's data files for DuckDB.

DuckDB's `allowed_paths` allow writing as well as reading, and on Linux a path below /proc/self/fd can be opened again in any
mode. So DuckDB gets no real path. It gets names such as `lake://ticks/date=2026-11-24/part-0.parquet` in this file system,
which can only open them for reading. No statement can bypass it, on any kernel. Names are literal: no globs, and no
`key=value` columns from folders above the table.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from fsspec import AbstractFileSystem

from finance_role import beneath

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

PROTOCOL = "lake"
READ = "rb"


def name_of(table: str, path: str) -> str:
    """Return the name of a data file; `path` is relative to the folder of its table."""
    return f"{PROTOCOL}://{table}/{path}"


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Data files by name. Other operations are not implemented: fsspec's base class refuses them.

    Attributes:
        failure: the error of the last file that could not be opened; DuckDB wraps it in a traceback

    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, folders: Mapping[str, str], names: Iterable[str]) -> None:
        """Set the folder of each table, and the names of all files."""
        super().__init__()
        self._folders = {table: Path(folder) for table, folder in folders.items()}
        self._names = frozenset(names)
        self._states: dict[str, os.stat_result] | None = None
        self.failure: OSError | None = None

    def open(self, path: str, mode: str = READ, **_: Any) -> BinaryIO:  # noqa: ANN401
        """Open a data file for reading. Raises PermissionError for any other mode."""
        if mode != READ:
            raise PermissionError(f"{path} is read-only")
        try:
            return beneath.opened(*self._place(path))
        except OSError as error:
            self.failure = error
            raise

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the name, size and type of a data file."""
        return {"name": path, "size": self._status(path).st_size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Return when a data file was written."""
        return datetime.fromtimestamp(self._status(path).st_mtime, UTC)

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401
        """Return whether a name is known."""
        return path in self._names

    def isfile(self, path: str) -> bool:
        """Return whether a name is known: there are only files."""
        return path in self._names

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """Return the name itself if it is known: names are not patterns."""
        return [path] if path in self._names else []

    def _status(self, name: str) -> os.stat_result:
        try:
            if self._states is None:  # a data file never changes
                self._states = self._all_statuses()
            if name not in self._states:
                raise FileNotFoundError(f"No such file or directory: {self._place(name)[1]}")
        except OSError as error:
            self.failure = error
            raise
        return self._states[name]

    def _all_statuses(self) -> dict[str, os.stat_result]:
        states = {}
        for table, folder in self._folders.items():
            prefix = name_of(table, "")
            names = [name.removeprefix(prefix) for name in self._names if name.startswith(prefix)]
            by_name = beneath.statuses_of(folder.parent, folder, names)
            states.update({name_of(table, name): state for name, state in by_name.items()})
        return states

    def _place(self, name: str) -> tuple[Path, Path]:
        """Return the lake's folder and the path of the file."""
        if name not in self._names:
            raise FileNotFoundError(f"{name} is not a file of the lake")
        table, _, path = name.removeprefix(f"{PROTOCOL}://").partition("/")
        folder = self._folders[table]
        return folder.parent, folder / path
