"""Follow a table's log from version to version: a look costs one `stat`, however long the log is and however many watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.reading.log import ENTRY

if TYPE_CHECKING:
    from pathlib import Path


class Tail:
    """The end of one table's log."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._log = folder / "_delta_log"
        self.version: int | None = None

    def look(self) -> int | None:
        """Return the newest version of the table; None if there is no table."""
        if self.version is None or not self._has(self.version):  # the first look, or somebody has deleted the lake
            self.version = self._newest()
        elif self._has(self.version + 1):
            while self._has(self.version + 1):
                self.version += 1
        return self.version

    def oldest(self) -> int:
        """Return the oldest version that the log still has an entry of (clean-up removes old ones)."""
        return min(self._versions(), default=0)

    def _has(self, version: int) -> bool:
        return (self._log / f"{version:020d}.json").exists()

    def _newest(self) -> int | None:
        return max(self._versions(), default=None)

    def _versions(self) -> list[int]:
        try:
            return [int(match[1]) for path in self._log.iterdir() if (match := ENTRY.fullmatch(path.name))]
        except (FileNotFoundError, NotADirectoryError):
            return []
