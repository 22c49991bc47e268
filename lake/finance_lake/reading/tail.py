"""Follow a table's log from version to version: a look costs one `stat`, however long the log is and however many watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.reading import log

if TYPE_CHECKING:
    from pathlib import Path


class Tail:
    """The end of one table's log."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._folder = folder
        self.version: int | None = None

    def look(self) -> int | None:
        """Return the newest version of the table; None if there is no table."""
        if self.version is None or not self._has(self.version):  # the first look, or somebody has deleted the lake
            self.version = self._newest()
        elif self._has(self.version + 1):
            while self._has(self.version + 1):
                self.version += 1
        return self.version

    def _has(self, version: int) -> bool:
        return log.has(self._folder, version)

    def _newest(self) -> int | None:
        try:
            return max(log.versions(self._folder), default=None)
        except (FileNotFoundError, NotADirectoryError):
            return None
