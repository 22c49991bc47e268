"""Data files and rows by arrival time, read without DuckDB."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from finance_lake.query.snapshot import EVER
from finance_lake.query.values import rows
from finance_storage.errors import UnreadableError, first_line
from finance_storage.files import parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow.parquet as pq

    from finance_lake.query.snapshot import Snapshot, SnapshotFile


def newest_first(files: Iterable[SnapshotFile]) -> list[SnapshotFile]:
    """Sort files by their newest record. Files whose newest record is unknown come first."""
    return sorted(files, key=lambda file: file.last_arrival or EVER, reverse=True)


@contextmanager
def opened(file: SnapshotFile) -> Iterator[pq.ParquetFile]:
    """Open a data file. Raises UnreadableError, also for damage found while reading."""
    try:
        with parquet(file.folder, file.name) as reader:
            yield reader
    except (OSError, pa.ArrowException) as error:
        problem = f"{file.folder / file.name} cannot be read: {first_line(error)}"
        raise UnreadableError(f"{problem}. `make verify` shows what is wrong with the lake.") from None


COLUMNS = ("symbol", "price", "size", "ts_event", "kafka_timestamp", "kafka_partition", "kafka_offset")


def newest_rows(snapshot: Snapshot, count: int) -> list[dict[str, Any]]:
    """Return the rows that arrived last, newest first. Opens only as many files as needed."""
    newest: list[dict[str, Any]] = []
    for file in newest_first(snapshot.ticks):
        if len(newest) == count and file.last_arrival and file.last_arrival < newest[-1]["kafka_timestamp"]:
            break
        with opened(file) as parquet:
            newest += rows(parquet.read(columns=list(COLUMNS)))
        newest = sorted(newest, key=lambda row: (row["kafka_timestamp"], row["kafka_offset"]), reverse=True)[:count]
    return newest
