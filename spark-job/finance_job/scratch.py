"""Spark's checkpoint as scratch: a fresh folder for each start of the query, removed when the next begins or the job ends.

What Spark writes there decides nothing (docs/adr/0014): the query begins where the tables end.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Scratch:
    """The folders of one driver, by its epoch."""

    def __init__(self, root: Path, epoch: int) -> None:
        """Remove what earlier drivers have left behind."""
        shutil.rmtree(root, ignore_errors=True)
        self._folder = root / str(epoch)
        self._starts = 0

    def fresh(self) -> Path:
        """Return a folder that does not exist yet; the one before is removed."""
        self.remove()
        self._starts += 1
        return self._folder / str(self._starts)

    def remove(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)
