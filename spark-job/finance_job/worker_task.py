"""The task of a Python worker: decode its share of a batch's records and write them to data files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from finance_job.decode import decode_records
from finance_job.failpoint import hit
from finance_storage.data_file import WrittenFile, write_data_file
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.schemas import UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from finance_storage.offset_set import Offsets64
    from finance_storage.place import Place

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Size in memory. On disk ticks take a twentieth of it. Quarantined values may be anything, and writing holds a second copy.
TARGET_FILE_BYTES = {TICKS: 64 * 1024 * 1024, QUARANTINE: 16 * 1024 * 1024}


@dataclass(frozen=True)
class WorkerTask:
    """Decodes records and writes them to the tables' folders. It is sent to the workers.

    Attributes:
        folders: place of each table to write, by name; rows of other tables are dropped
        planned_ms: when the batch was planned, milliseconds since the Unix epoch; the rows' `ingested_at`
        known: offsets to leave out, sorted, by Kafka partition, because the quarantine already has their records

    """

    folders: Mapping[str, Place]
    planned_ms: int
    known: Mapping[int, Offsets64] = field(default_factory=dict)

    def files(self, batches: Iterator[pa.RecordBatch]) -> Iterator[WrittenFile]:
        """Consume Arrow batches of Kafka records and yield each file as it is written."""
        ingested_at = pa.scalar(EPOCH + timedelta(milliseconds=self.planned_ms), UTC_MICROSECONDS)
        pending = _Pending(self.folders)
        for records in batches:
            decoded = decode_records(self._unknown(records), ingested_at)
            pending.add(TICKS, decoded.ticks)
            pending.add(QUARANTINE, decoded.quarantine)
            if pending.is_full():
                yield from pending.write()
        yield from pending.write()

    def _unknown(self, records: pa.RecordBatch) -> pa.RecordBatch:
        for partition, offsets in self.known.items():
            here = pc.equal(records.column("partition"), pa.scalar(partition, pa.int32()))
            known = pc.and_(here, pc.is_in(records.column("offset"), pa.array(offsets, pa.int64())))
            records = records.filter(pc.invert(known))
        return records


class _Pending:
    """Decoded rows that are not yet in a file."""

    def __init__(self, folders: Mapping[str, Place]) -> None:
        self._folders = folders
        self._rows: dict[str, list[pa.Table]] = {name: [] for name in folders}
        self._bytes = dict.fromkeys(folders, 0)

    def add(self, table: str, rows: pa.Table) -> None:
        if table in self._folders and rows.num_rows:
            self._rows[table].append(rows)
            self._bytes[table] += rows.nbytes

    def is_full(self) -> bool:
        return any(size > TARGET_FILE_BYTES[table] for table, size in self._bytes.items())

    def write(self) -> Iterator[WrittenFile]:
        for table, parts in self._rows.items():
            if parts:
                for values, rows in _partitions(table, pa.concat_tables(parts)):
                    yield write_data_file(rows, table, self._folders[table], values)
                    hit("in-data-files")
                parts.clear()
        self._bytes = dict.fromkeys(self._folders, 0)


def _partitions(table: str, rows: pa.Table) -> Iterator[tuple[dict[str, str], pa.Table]]:
    if table != TICKS:
        yield {}, rows
        return
    dates, rows = rows.column("date"), rows.drop_columns(["date"])
    distinct = pc.unique(dates)
    for date in distinct:
        yield {"date": str(date)}, rows if len(distinct) == 1 else rows.filter(pc.equal(dates, date))
