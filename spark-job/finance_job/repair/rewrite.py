"""Look into the data files of a table and write some of them anew, as recover, redrive and maintenance do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from finance_job.transaction import Change, live_files
from finance_storage import digest, offset_set
from finance_storage.data_file import rows_by_partition, write_data_file
from finance_storage.files import literal, parquet
from finance_storage.schemas import FIELDS, shape_fault, unknown_columns

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_job.transaction import LiveFile
    from finance_storage.offset_set import OffsetSet


def read(name: str, folder: Path, file: LiveFile) -> pa.Table:
    """Read a data file of a table whole, in `columns_of`; what it lacks of them is null. Raises as `stored` and `shaped` do."""
    return shaped(name, stored(folder, file))


def stored(folder: Path, file: LiveFile) -> pa.Table:
    """Read a data file whole, as it is.

    Raises OSError if it is gone or another file than the log says, or a page does not fit its checksum.
    """
    with parquet(folder, literal(file.path), file.size) as found:
        rows = found.read()
    if file.rows not in {None, rows.num_rows}:
        raise OSError(f"{folder / file.path} has {rows.num_rows} rows, the log says {file.rows}")
    return rows


def shaped(name: str, rows: pa.Table) -> pa.Table:
    """Give the rows of a data file in `columns_of`. Raises ArrowInvalid for columns that are not the table's."""
    return in_columns(rows, columns_of(name, rows.schema))


def columns_of(name: str, file: pa.Schema) -> pa.Schema:
    """Give the columns that the rows of a data file have in memory: those that the job writes, then those of others.

    A column that only a later version of the job knows is of others, too, and stays. Raises ArrowInvalid for a file that is
    none of the table's.
    """
    if fault := shape_fault(name, file, FIELDS[name]):
        raise pa.ArrowInvalid(fault)
    return pa.schema([*FIELDS[name], *unknown_columns(file, FIELDS[name])])


def in_columns(rows: pa.Table, columns: pa.Schema) -> pa.Table:
    """Give rows these columns; other writers of Parquet lay texts out otherwise."""
    lacking = [field for field in columns if field.name not in rows.column_names]
    for field in lacking:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(columns.names).cast(columns)


def without(table: DeltaTable, name: str, folder: Path, gone: OffsetSet, broken: Sequence[LiveFile] = ()) -> Change:
    """Rewrite the files that hold these coordinates, so that they do not; broken files leave without a look into them.

    The change counts the rows that leave, but for those of broken files.
    """
    added, rows, of_rows = [], dict[int, int](), []
    removed = list(broken)
    for file in live_files(table) if gone else []:
        if file in broken:
            continue
        content = read(name, folder, file)
        mask = inside(gone, content)
        if not mask.any():
            continue
        removed.append(file)
        taken = content.filter(pa.array(mask))
        of_rows.append(digest.digest_of(taken))
        for partition, count in rows_by_partition(taken).items():
            rows[partition] = rows.get(partition, 0) - count
        if not mask.all():
            added.append(write_data_file(content.filter(pa.array(~mask)), name, str(folder), file.partition_values))
    return Change(added, removed, rows, -digest.add(of_rows))


def inside(coordinates: OffsetSet, rows: pa.Table) -> offset_set.Mask:
    """Tell for each row whether its coordinates are among these."""
    columns = (rows.column(name).to_numpy().astype(np.int64) for name in ("kafka_partition", "kafka_offset"))
    return offset_set.inside(coordinates, *columns)
