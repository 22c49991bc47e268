"""The lake's data files as DuckDB may open them: by name, for reading.

DuckDB may also write what it may read: its `allowed_paths` make no difference between the two, and Linux opens a path below
/proc/self/fd anew, in whatever mode a statement asks for. So DuckDB gets no path at all. It gets names, such as
`lake://ticks/date=2026-11-24/part-0.parquet`, of a file system of our own which opens files in one way: read-only. No statement
reaches past it, on any kernel. Names are taken literally: no globs, and no keys from folders above the table.
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
    """Give the name of a data file; `path` is relative to the folder of its table."""
    return f"{PROTOCOL}://{table}/{path}"


class LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Data files, by name. What fsspec could do beyond reading them stays undone: its base class refuses.

    Attributes:
        failure: why a file could not be opened; DuckDB wraps it in a traceback

    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, folders: Mapping[str, str], names: Iterable[str]) -> None:
        """Know the names of all files, and the folder of each table."""
        super().__init__()
        self._folders = {table: Path(folder) for table, folder in folders.items()}
        self._names = frozenset(names)
        self._states: dict[str, os.stat_result] | None = None
        self.failure: OSError | None = None

    def open(self, path: str, mode: str = READ, **_: Any) -> BinaryIO:  # noqa: ANN401
        """Open a data file for reading. Raises PermissionError for any other mode."""
        if mode != READ:
            raise PermissionError(f"{path} is read here, never written")
        try:
            return beneath.opened(*self._place(path))
        except OSError as error:
            self.failure = error
            raise

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401
        """Tell the size of a data file."""
        return {"name": path, "size": self._look(path).st_size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Tell when it was written; a data file never changes."""
        return datetime.fromtimestamp(self._look(path).st_mtime, UTC)

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401
        """Whether a name is known."""
        return path in self._names

    def isfile(self, path: str) -> bool:
        """Whether a name is known: there are only files."""
        return path in self._names

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401
        """Give the name itself: it is a name, not a pattern."""
        return [path] if path in self._names else []

    def _look(self, name: str) -> os.stat_result:
        try:
            if self._states is None:  # a data file never changes
                self._states = self._look_at_all()
            if name not in self._states:
                raise FileNotFoundError(f"No such file or directory: {self._place(name)[1]}")
        except OSError as error:
            self.failure = error
            raise
        return self._states[name]

    def _look_at_all(self) -> dict[str, os.stat_result]:
        states = {}
        for table, folder in self._folders.items():
            begin = name_of(table, "")
            names = [name.removeprefix(begin) for name in self._names if name.startswith(begin)]
            found = beneath.look_at_all(folder.parent, folder, names)
            states.update({name_of(table, name): state for name, state in found.items()})
        return states

    def _place(self, name: str) -> tuple[Path, Path]:
        """Give the lake's folder, and where the file is below it."""
        if name not in self._names:
            raise FileNotFoundError(f"{name} is no file of the lake")
        table, _, path = name.removeprefix(f"{PROTOCOL}://").partition("/")
        folder = self._folders[table]
        return folder.parent, folder / path
