"""Read data files of a table and rewrite some of them, for recover, redrive and maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from finance_job.transaction import Change, live_files
from finance_storage import digest, offset_set
from finance_storage.data_file import rows_by_partition, write_data_file
from finance_storage.files import literal, parquet
from finance_storage.schemas import FIELDS, OTHER_TEXTS, shape_fault, unknown_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deltalake import DeltaTable

    from finance_job.transaction import LiveFile
    from finance_storage.offset_set import OffsetSet
    from finance_storage.place import Place


def read(name: str, folder: Place, file: LiveFile) -> pa.Table:
    """Read a whole data file of a table, in `columns_of`; missing columns are null. Raises as `stored` and `shaped` do."""
    return shaped(name, stored(folder, file))


def stored(folder: Place, file: LiveFile) -> pa.Table:
    """Read a whole data file, as it is.

    Raises OSError if it does not exist, does not match the log, or has a page that does not match its checksum.
    """
    with parquet(folder, literal(file.path), file.size) as reader:
        rows = reader.read()
    if file.rows not in {None, rows.num_rows}:
        raise OSError(f"{folder / file.path} has {rows.num_rows} rows, the log says {file.rows}")
    return rows


def shaped(name: str, rows: pa.Table) -> pa.Table:
    """Return the rows of a data file in `columns_of`. Raises ArrowInvalid for columns that do not fit the table."""
    return in_columns(rows, columns_of(name, rows.schema))


def columns_of(name: str, file: pa.Schema) -> pa.Schema:
    """Return the columns that the rows of a data file have in memory: first those that the job writes, then any others.

    Columns that only a later version of the job knows are among the others and are kept. Raises ArrowInvalid if the file does
    not fit the table.
    """
    if fault := shape_fault(name, file, FIELDS[name]):
        raise pa.ArrowInvalid(fault)
    others = [field.with_type(OTHER_TEXTS.get(field.type, field.type)) for field in unknown_columns(file, FIELDS[name])]
    return pa.schema([*FIELDS[name], *others])


def in_columns(rows: pa.Table, columns: pa.Schema) -> pa.Table:
    """Add missing columns, put them in order and cast them; other Parquet writers use other types for strings."""
    missing = [field for field in columns if field.name not in rows.column_names]
    for field in missing:
        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
    return rows.select(columns.names).cast(columns)


def without(table: DeltaTable, name: str, folder: Place, gone: OffsetSet, broken: Sequence[LiveFile] = ()) -> Change:
    """Rewrite the files that hold rows at the coordinates `gone`, without these rows; drop broken files unread.

    The change counts the rows removed, except those of broken files.
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
            added.append(write_data_file(content.filter(pa.array(~mask)), name, folder, file.partition_values))
    return Change(added, removed, rows, -digest.add(of_rows))


def inside(coordinates: OffsetSet, rows: pa.Table) -> offset_set.Mask:
    """Return a mask of the rows whose coordinates are among these."""
    columns = (rows.column(name).to_numpy().astype(np.int64) for name in ("kafka_partition", "kafka_offset"))
    return offset_set.inside(coordinates, *columns)
