"""The content of a table's data files: which ones the log names, and their rows, each page held against its checksum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finance_kafka.offsets import OffsetRange
from finance_role.beneath import IrregularError
from finance_storage import files
from finance_storage.delta_table import add_actions
from finance_storage.errors import first_line
from finance_storage.files import LogError, literal
from finance_storage.schemas import shape_fault, unknown_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_storage.offset_set import Offsets64, OffsetSet

ROWS_PER_BATCH = 1 << 18
COORDINATES = ("kafka_partition", "kafka_offset")
EDGES = tuple(f"{edge}.{name}" for name in COORDINATES for edge in ("min", "max"))
ENTRY = ("path", "size_bytes", "num_records", "partition.date", *EDGES)
MAX_PARTITIONS = 1 << 16
DAY_US = 86_400_000_000


class CorruptError(Exception):
    """A data file is not what the log says, or does not fit its checksums; the message says in what."""


class LoggedFile(NamedTuple):
    """A data file as the table's log has it.

    Attributes:
        table: `ticks` or `quarantine`
        folder, name: of the table, and where it is in it
        size: bytes
        rows: how many; None if the log does not say
        date: what its rows must have in `date`; None for a table without
        places: the offsets that it can hold, by its statistics; empty if the log does not say

    """

    table: str
    folder: Path
    name: str
    size: int
    rows: int | None
    date: date | None
    places: OffsetSet


class FileRows(NamedTuple):
    """Some rows of a data file, with their coordinates as arrays."""

    batch: pa.RecordBatch
    partitions: Offsets64
    offsets: Offsets64


def live_files(table: DeltaTable, name: str, folder: Path) -> list[LoggedFile]:
    """Return the data files of the version that is open. Raises LogError for a date that is none."""
    entries = add_actions(table)
    # A log has thousands of files, and statistics of every column.
    told = entries.select([name for name in ENTRY if name in entries.column_names])
    try:
        return [_file(name, folder, entry) for entry in told.to_pylist()]
    except (OverflowError, ValueError) as error:
        raise LogError(f"the log of {folder} says of a data file what cannot be ({error})") from None


def columns_of(table: DeltaTable) -> pa.Schema:
    """Return the columns that the log says the rows have, with their types."""
    return pa.schema(table.schema().to_arrow())


def read_rows(file: LoggedFile, columns: pa.Schema) -> Iterator[FileRows]:
    """Read a file, at most `ROWS_PER_BATCH` rows at a time. Raises CorruptError, perhaps after a part of the rows."""
    try:
        yield from _rows(file, columns)
    except FileNotFoundError:
        raise CorruptError("is missing") from None
    except IrregularError as error:
        # Or a folder on the way to it, which the sentence names.
        is_itself = error.path == file.folder / file.name
        raise CorruptError(error.what if is_itself else f"cannot be read: {error}") from None
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, MemoryError) as error:
        raise CorruptError(f"cannot be read: {first_line(error)}") from None


def dates(batch: pa.RecordBatch, column: str) -> Offsets64:
    """Day of each row's time in a column, in days since the Unix epoch."""
    return _integers(batch.column(column).cast(pa.timestamp("us", "UTC")).cast(pa.int64())) // DAY_US


def _file(name: str, folder: Path, entry: dict[str, Any]) -> LoggedFile:
    size, rows = entry["size_bytes"], entry.get("num_records")
    return LoggedFile(name, folder, literal(entry["path"]), size, rows, entry.get("partition.date"), _places(entry))


def _places(entry: dict[str, Any]) -> OffsetSet:
    edges = [entry.get(name) for name in EDGES]
    if None in edges:
        return {}
    first, last, start, end = map(int, edges)  # type: ignore[arg-type]
    partitions = range(first, min(last, first + MAX_PARTITIONS) + 1)
    return {partition: [OffsetRange(start, end + 1)] for partition in partitions}


def _rows(file: LoggedFile, columns: pa.Schema) -> Iterator[FileRows]:
    with files.parquet(file.folder, file.name, file.size) as parquet:
        expected = _require_shape(parquet, file, columns)
        unknown = unknown_columns(expected, columns)
        read = 0
        for batch in parquet.iter_batches(ROWS_PER_BATCH, use_threads=False):
            rows = batch.cast(expected)
            yield FileRows(rows, *(_integers(rows.column(name)) for name in COORDINATES))
            read += len(rows)
        if read != parquet.metadata.num_rows:  # a decayed page header can end a column early, without an error
            raise CorruptError(f"gives {read} of its {parquet.metadata.num_rows} rows")
        if unknown:  # its rows are as they must be, and readers of the table do not see all of them
            raise CorruptError(f"has column {unknown[0].name!r}, which the table lacks: `make recover` mends it")


def _require_shape(parquet: pq.ParquetFile, file: LoggedFile, columns: pa.Schema) -> pa.Schema:
    """Return the file's columns, with the table's types."""
    if file.rows not in (None, parquet.metadata.num_rows):
        raise CorruptError(f"has {parquet.metadata.num_rows} rows, the log says {file.rows}")
    if fault := shape_fault(file.table, parquet.schema_arrow, columns):
        raise CorruptError(fault)
    return pa.schema([columns.field(one.name) if one.name in columns.names else one for one in parquet.schema_arrow])


def _integers(column: pa.Array) -> Offsets64:
    # A row that has lost a coordinate is at offset -1: outside of every range.
    numbers: Offsets64 = pc.fill_null(column, -1).to_numpy().astype(np.int64, copy=False)
    return numbers
