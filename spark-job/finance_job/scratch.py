"""Spark's checkpoint as scratch data: a new folder for each start of the query, removed at the next start or when the job ends.

The job does not depend on what Spark writes there (docs/adr/0014): the query starts at the position of the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_role import beneath

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.paths import LakePaths


class Scratch:
    """The scratch folders of one driver, named by its epoch."""

    def __init__(self, paths: LakePaths, epoch: int) -> None:
        """Remove the folders that earlier drivers have left behind."""
        beneath.remove(paths.folder, paths.scratch)
        self._root = paths.folder
        self._folder = paths.scratch / str(epoch)
        self._starts = 0

    def fresh(self) -> Path:
        """Remove the previous folder and return the path of a new one; only its parent exists yet. Raises IrregularError."""
        self.remove()
        self._starts += 1
        beneath.make_folder(self._root, self._folder)
        return self._folder / str(self._starts)

    def remove(self) -> None:
        """Remove all scratch folders of this driver."""
        beneath.remove(self._root, self._folder)
