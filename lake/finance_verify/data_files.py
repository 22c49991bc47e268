"""Read a table's data files: the ones that the log names, and their rows, with page checksums verified."""

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
from finance_storage.errors import StoreUnavailableError, first_line
from finance_storage.files import LogError, literal
from finance_storage.schemas import shape_fault, unknown_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from deltalake import DeltaTable

    from finance_storage.offset_set import Offsets64, OffsetSet
    from finance_storage.place import Place

ROWS_PER_BATCH = 1 << 18
COORDINATES = ("kafka_partition", "kafka_offset")
EDGES = tuple(f"{edge}.{name}" for name in COORDINATES for edge in ("min", "max"))
ENTRY = ("path", "size_bytes", "num_records", "partition.date", *EDGES)
MAX_PARTITIONS = 1 << 16
DAY_US = 86_400_000_000


class CorruptError(Exception):
    """A data file differs from its log entry or fails a checksum; the message says how."""


class LoggedFile(NamedTuple):
    """A data file according to the table's log.

    Attributes:
        table: `ticks` or `quarantine`
        folder, name: folder of the table, and path of the file relative to it
        size: in bytes
        rows: number of rows; None if the log does not say
        date: value of the partition column `date`; None for a table without it
        places: offsets that it can contain, according to its statistics; empty if the log has none

    """

    table: str
    folder: Place
    name: str
    size: int
    rows: int | None
    date: date | None
    places: OffsetSet


class FileRows(NamedTuple):
    """A batch of rows of a data file, with their coordinates as arrays."""

    batch: pa.RecordBatch
    partitions: Offsets64
    offsets: Offsets64


def live_files(table: DeltaTable, name: str, folder: Place) -> list[LoggedFile]:
    """Return the data files of the open version. Raises LogError for an invalid date or number."""
    entries = add_actions(table)
    # A log can have thousands of files, with statistics of every column: select what is needed.
    needed = entries.select([name for name in ENTRY if name in entries.column_names])
    try:
        return [_file(name, folder, entry) for entry in needed.to_pylist()]
    except (OverflowError, ValueError) as error:
        raise LogError(f"the log of {folder} has an invalid value for a data file ({error})") from None


def columns_of(table: DeltaTable) -> pa.Schema:
    """Return the table's columns and types, according to the log."""
    return pa.schema(table.schema().to_arrow())


def read_rows(file: LoggedFile, columns: pa.Schema) -> Iterator[FileRows]:
    """Read a file, at most `ROWS_PER_BATCH` rows at a time. May raise CorruptError after yielding some rows."""
    try:
        yield from _rows(file, columns)
    except StoreUnavailableError:  # says nothing about the file
        raise
    except FileNotFoundError:
        raise CorruptError("is missing") from None
    except IrregularError as error:
        # The path may also be that of a folder above the file; the message names it.
        is_itself = error.path == file.folder / file.name
        raise CorruptError(error.what if is_itself else f"cannot be read: {error}") from None
    except (OSError, pa.ArrowException, ValueError, TypeError, KeyError, MemoryError) as error:
        raise CorruptError(f"cannot be read: {first_line(error)}") from None


def dates(batch: pa.RecordBatch, column: str) -> Offsets64:
    """Return the day of each row's time in a column, in days since the Unix epoch."""
    return _integers(batch.column(column).cast(pa.timestamp("us", "UTC")).cast(pa.int64())) // DAY_US


def _file(name: str, folder: Place, entry: dict[str, Any]) -> LoggedFile:
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
        if read != parquet.metadata.num_rows:  # a damaged page header can end a column early without an error
            raise CorruptError(f"yields only {read} of its {parquet.metadata.num_rows} rows")
        if unknown:  # its rows are correct, but readers of the table do not see this column
            raise CorruptError(f"has column {unknown[0].name!r}, which the table lacks: `make recover` repairs it")


def _require_shape(parquet: pq.ParquetFile, file: LoggedFile, columns: pa.Schema) -> pa.Schema:
    """Return the file's columns with the table's types. Raises CorruptError if they do not match."""
    if file.rows not in (None, parquet.metadata.num_rows):
        raise CorruptError(f"has {parquet.metadata.num_rows} rows, the log says {file.rows}")
    if fault := shape_fault(file.table, parquet.schema_arrow, columns):
        raise CorruptError(fault)
    return pa.schema([columns.field(field.name) if field.name in columns.names else field for field in parquet.schema_arrow])


def _integers(column: pa.Array) -> Offsets64:
    # A row without a coordinate gets -1, which is outside of every range.
    numbers: Offsets64 = pc.fill_null(column, -1).to_numpy().astype(np.int64, copy=False)
    return numbers
