"""Rows of the quarantine that are retracted ticks: their numbers count for their source, as those in the table do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from finance_contract.retracted import RETRACTED
from finance_storage.offset_set import inside, of_coordinates, union

if TYPE_CHECKING:
    from finance_storage.offset_set import OffsetSet
    from finance_verify.data_files import FileRows
    from finance_verify.sequences import Sequences

DETAIL = r"^(?P<seq>[0-9]{1,18}) (?P<source>.+)$"


class Retracted:
    """Collects retracted rows.

    Attributes:
        places: their coordinates
        rows: their number

    """

    def __init__(self, sequences: Sequences, moving: OffsetSet) -> None:
        """Count numbers in `sequences`, except those of rows that are `moving`: these are in the table of ticks too."""
        self.places: OffsetSet = {}
        self.rows = 0
        self._sequences = sequences
        self._moving = moving

    def add(self, rows: FileRows) -> None:
        """Collect from rows of the quarantine."""
        reasons = rows.batch.column("reason")
        mask = np.asarray(pc.fill_null(pc.equal(reasons, RETRACTED), False))  # noqa: FBT003
        if not mask.any():
            return
        self.places = union(self.places, of_coordinates(rows.partitions[mask], rows.offsets[mask]))
        self.rows += int(mask.sum())
        self._number(rows, mask & ~inside(self._moving, rows.partitions, rows.offsets))

    def _number(self, rows: FileRows, mask: np.ndarray) -> None:
        parts = pc.extract_regex(rows.batch.column("detail").filter(mask), DETAIL).drop_null()
        sources = parts.field("source").dictionary_encode()
        numbers = parts.field("seq").cast("int64").to_numpy()
        indices = sources.indices.to_numpy()
        for index, source in enumerate(sources.dictionary.to_pylist()):
            self._sequences.add_numbers(source, numbers[indices == index])
