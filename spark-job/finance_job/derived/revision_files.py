"""The data files of a revision. As for ingestion, Spark's Python workers write them, and the driver gets their descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from finance_storage.data_file import WrittenFile, new_name, statistics_of, write_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame

    from finance_storage.place import Place

STATISTICS = ("symbol", "ts", "as_of")
TARGET_FILE_BYTES = 64 * 1024 * 1024  # in memory
FILE_COLUMN = pa.schema({"file": pa.binary()})


def write_files(rows: DataFrame, name: str, folder: Place) -> list[WrittenFile]:
    """Compute the rows of the derived table `name` and write them to new files in its folder, in one Spark job."""
    found = rows.mapInArrow(_written(name, folder), "file binary").collect()
    return [msgspec.msgpack.decode(row.file, type=WrittenFile) for row in found]


def _written(name: str, folder: Place) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for rows in in_files(batches):
            file = msgspec.msgpack.encode(write_file(rows, name, folder))
            yield pa.RecordBatch.from_arrays([pa.array([file], pa.binary())], schema=FILE_COLUMN)

    return write


def in_files(batches: Iterator[pa.RecordBatch], most: int = TARGET_FILE_BYTES) -> Iterator[pa.Table]:
    """Join batches to tables of about `most` bytes in memory; without rows there is none."""
    pending: list[pa.RecordBatch] = []
    for batch in batches:
        if batch.num_rows:
            pending.append(batch)
        if sum(part.nbytes for part in pending) >= most:
            yield pa.Table.from_batches(pending)
            pending = []
    if pending:
        yield pa.Table.from_batches(pending)


def write_file(rows: pa.Table, name: str, folder: Place) -> WrittenFile:
    """Write rows as one file of the derived table `name`; return its description, without a digest."""
    path = new_name()
    size = write_rows(rows, folder, path)
    return WrittenFile(name, path, {}, size, statistics_of(rows, STATISTICS), rows={}, digest=0)
