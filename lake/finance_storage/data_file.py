"""Data files: workers write the Parquet files of both tables themselves and report what they wrote.

A row crosses from the JVM to Python once, to be decoded, and never back: only a description of each file returns. So a batch is
decoded once for both tables, and its row counts and digests are known before anything is committed. A file that no commit
names, because its worker or its job died, is not part of any table. VACUUM removes it.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finance_storage import place
from finance_storage.digest import digest_of
from finance_storage.schemas import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from finance_storage.place import Place

MILLISECOND_US = 1000
# Readers use several threads for a large file and skip the row groups that cannot match a query.
ROW_GROUP_SIZE = 256 * 1024
# Columns that increase from row to row: delta encoding takes a third of the space of a dictionary, and less time.
DELTA_ENCODED_COLUMNS = {"seq", "ts_event", "kafka_offset", "kafka_timestamp"}
# Columns with almost no repeated values, which may be long: a dictionary would be a copy of the column.
DISTINCT = {"value", "value_sha256"}


class WrittenFile(msgspec.Struct, frozen=True):
    """A Parquet file that a worker has written and closed.

    Attributes:
        table: `ticks` or `quarantine`
        path: relative to the table's folder
        partition_values: Delta's partition values; empty for a table without partitions
        size: in bytes
        statistics: Delta's per-file statistics (numRecords, minValues, maxValues, nullCount)
        rows: number of rows by Kafka partition
        digest: digest of its rows

    """

    table: str
    path: str
    partition_values: dict[str, str]
    size: int
    statistics: dict[str, Any]
    rows: dict[int, int]
    digest: int


def write_data_file(
    rows: pa.Table, table: str, folder: Place, partition_values: dict[str, str], prefix: str = "part"
) -> WrittenFile:
    """Write rows as one file below `folder`, a table's folder in its lake; return a description of the file.

    Page checksums are written, so readers that verify them detect a flipped bit. Raises IrregularError if a folder on the path
    is a link.
    """
    path = "/".join([*(f"{name}={value}" for name, value in partition_values.items()), new_name(prefix)])
    size = write_rows(rows, folder, path)
    return WrittenFile(
        table=table,
        path=path,
        partition_values=partition_values,
        size=size,
        statistics=statistics_of(rows, STATISTICS[table]),
        rows=rows_by_partition(rows),
        digest=digest_of(rows),
    )


def new_name(prefix: str = "part") -> str:
    """Return a name for a data file that nothing else has."""
    return f"{prefix}-{uuid.uuid4()}.zstd.parquet"


def write_rows(rows: pa.Table, folder: Place, path: str) -> int:
    """Write rows as a new file at a path relative to a table's folder; return its size in bytes. Raises IrregularError."""
    encodings = dict.fromkeys(DELTA_ENCODED_COLUMNS & set(rows.column_names), "DELTA_BINARY_PACKED")
    with place.created(folder.parent, folder / path) as file:
        pq.write_table(
            rows,
            file,
            row_group_size=ROW_GROUP_SIZE,
            compression="zstd",
            use_dictionary=[name for name in rows.column_names if name not in DISTINCT | DELTA_ENCODED_COLUMNS],
            column_encoding=encodings,
            write_page_checksum=True,
            store_decimal_as_integer=True,
        )
        return file.tell()


def rows_of(files: Iterable[WrittenFile]) -> dict[int, int]:
    """Sum the row counts of files by Kafka partition."""
    totals: dict[int, int] = {}
    for file in files:
        for partition, count in file.rows.items():
            totals[partition] = totals.get(partition, 0) + count
    return totals


def rows_by_partition(rows: pa.Table) -> dict[int, int]:
    """Count rows by Kafka partition."""
    counts = pc.value_counts(rows.column("kafka_partition"))
    return {count["values"]: count["counts"] for count in counts.to_pylist()}


def statistics_of(rows: pa.Table, columns: tuple[str, ...]) -> dict[str, Any]:
    """Return per-file statistics as the Delta protocol defines them; minimum and maximum ignore nulls."""
    extremes = {name: pc.min_max(rows.column(name)).as_py() for name in columns}
    return {
        "numRecords": rows.num_rows,
        "minValues": {name: _floor(value["min"]) for name, value in extremes.items() if value["min"] is not None},
        "maxValues": {name: _ceiling(value["max"]) for name, value in extremes.items() if value["max"] is not None},
        "nullCount": {name: rows.column(name).null_count for name in columns},
    }


def _floor(value: Any) -> Any:  # noqa: ANN401
    return _milliseconds(value) if hasattr(value, "microsecond") else value


def _ceiling(value: Any) -> Any:  # noqa: ANN401
    if not hasattr(value, "microsecond"):
        return value
    rest = -value.microsecond % MILLISECOND_US
    return _milliseconds(value + pa.scalar(rest, pa.duration("us")).as_py())


def _milliseconds(time: datetime) -> str:
    # Delta statistics have millisecond precision. A maximum is rounded up, because readers may skip a file by it.
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // MILLISECOND_US:03d}Z"
