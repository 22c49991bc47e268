"""Spark's checkpoint as scratch: a fresh folder for each start of the query, removed when the next begins or the job ends.

What Spark writes there decides nothing (docs/adr/0014): the query begins where the tables end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_role import beneath

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.paths import LakePaths


class Scratch:
    """The folders of one driver, by its epoch."""

    def __init__(self, paths: LakePaths, epoch: int) -> None:
        """Remove what earlier drivers have left behind."""
        beneath.remove(paths.root, paths.scratch)
        self._root = paths.root
        self._folder = paths.scratch / str(epoch)
        self._starts = 0

    def fresh(self) -> Path:
        """Return a folder that does not exist yet, in one that does; the one before is removed. Raises IrregularError."""
        self.remove()
        self._starts += 1
        beneath.make_folder(self._root, self._folder)
        return self._folder / str(self._starts)

    def remove(self) -> None:
        """Remove all of it."""
        beneath.remove(self._root, self._folder)
