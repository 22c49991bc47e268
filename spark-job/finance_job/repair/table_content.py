"""Read what the two tables hold, for recover: the offsets of their rows, and data files and columns that do not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import Field, Schema

from finance_job import transaction
from finance_job.repair import rewrite
from finance_job.tables import TABLES
from finance_storage import offset_set
from finance_storage.delta_table import open_table
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import is_plain, shape_fault, unknown_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltalake import DeltaTable

    from finance_job.transaction import LiveFile
    from finance_storage.offset_set import OffsetSet


@dataclass(frozen=True)
class Content:
    """What the tables hold.

    Attributes:
        offsets: coordinates of the rows, by table
        doubtful: coordinates that occur more than once, in one table or across both, or whose rows were altered
        broken: data files that are missing, truncated, have other columns or fail a checksum, by table
        columns: columns that data files have and the schema lacks, by table

    """

    offsets: dict[str, OffsetSet]
    doubtful: OffsetSet
    broken: dict[str, list[LiveFile]]
    columns: dict[str, list[Field]]


def content(paths: LakePaths, versions: dict[str, int]) -> Content:
    """Read all coordinates of both tables; `versions` may name an earlier version of a table."""
    stored: dict[str, OffsetSet] = {}
    doubled: list[OffsetSet] = []
    broken: dict[str, list[LiveFile]] = {}
    columns: dict[str, list[Field]] = {}
    for name in TABLES:
        offsets: dict[int, list[np.ndarray]] = {}
        broken[name] = []
        known = _Columns(name, open_table(paths.table(name), versions.get(name)))
        columns[name] = known.added
        for file, rows in _files(paths, name, known):
            if rows is None:
                broken[name].append(file)
                continue
            partitions, numbers = (rows.column(column).to_numpy() for column in ("kafka_partition", "kafka_offset"))
            for partition in np.unique(partitions):
                offsets.setdefault(int(partition), []).append(numbers[partitions == partition])
        joined = {partition: np.concatenate(parts) for partition, parts in offsets.items()}
        stored[name] = offset_set.spans_of(joined)
        doubled.append(offset_set.spans_of({partition: _repeated(numbers) for partition, numbers in joined.items()}))
    doubled.append(offset_set.common(stored[TICKS], stored[QUARANTINE]))
    return Content(stored, offset_set.union(*doubled), broken, columns)


def _repeated(offsets: np.ndarray) -> np.ndarray:
    distinct, times = np.unique(offsets, return_counts=True)
    repeated: np.ndarray = distinct[times > 1]
    return repeated


class _Columns:
    """The columns of a table, and further columns of its data files."""

    def __init__(self, name: str, table: DeltaTable | None) -> None:
        self.table = table
        self.added: list[Field] = []
        self._name = name
        self._columns = pa.schema(table.schema().to_arrow() if table else [])

    def include(self, rows: pa.Schema) -> None:
        """Include the columns of a data file. Raises ArrowInvalid for columns that neither fit the table nor can be added."""
        if fault := shape_fault(self._name, rows, self._columns):
            raise pa.ArrowInvalid(fault)
        unknown = unknown_columns(rows, self._columns)
        if other := [field for field in unknown if not is_plain(field.type)]:
            raise pa.ArrowInvalid(f"column {other[0].name} is of type {other[0].type}")
        for field in unknown:
            self._columns = self._columns.append(field)
            self.added.append(Field(field.name, Schema.from_arrow(pa.schema([field])).fields[0].type, nullable=True))


def _files(paths: LakePaths, name: str, known: _Columns) -> Iterator[tuple[LiveFile, pa.Table | None]]:
    folder = paths.table(name)
    for file in transaction.live_files(known.table) if known.table else []:
        try:
            rows = rewrite.stored(folder, file)
            known.include(rows.schema)
            rows = rewrite.shaped(name, rows)
        except (OSError, pa.ArrowInvalid):
            rows = None
        yield file, rows
