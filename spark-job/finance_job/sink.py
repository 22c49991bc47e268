"""The sink: store one micro-batch in two tables, exactly once.

Why it is exactly once: each commit to ticks holds the position where the stream continues, together with the rows before it,
in one atomic commit. Each start of the query begins at that position, so Spark's own checkpoint does not matter. The
quarantine is committed first, and only if the batch has malformed records. Ticks are committed always, even without rows. So a
crash leaves the quarantine at most one batch ahead. `finish` then reads that batch again before the stream starts and leaves
out the records that the quarantine already has. It identifies them by offset, whatever the current rules say about them.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_job.failpoint import hit
from finance_job.spark_failure import KeptError
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_storage.data_file import WrittenFile, rows_of
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.quarantine_ahead import offsets_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pyspark.sql import DataFrame

    from finance_job.reader import Ranges, Reader
    from finance_job.writer import Writer
    from finance_storage.offset_set import Offsets64


class StoppingError(Exception):
    """Raised into Spark for a batch that begins after the job has begun to stop: Spark must not mark it as done."""


class MisplacedBatchError(Exception):
    """Spark has planned a batch that does not begin at the table's position; the query has to restart from there."""


@dataclass(frozen=True)
class BatchSummary:
    """The result of a batch.

    Attributes:
        batch: its number in this run of the query; -1 for one that was finished at the start
        offsets: number of offsets that it spans; those without a record count too
        ticks, quarantined: rows added to each table
        version: of the table of ticks after it

    """

    batch: int
    offsets: int
    ticks: int
    quarantined: int
    version: int


class Sink:
    """Stores each micro-batch of the query (`foreachBatch`)."""

    def __init__(self, paths: LakePaths, writer: Writer, reader: Reader, report: Callable[[BatchSummary], None]) -> None:
        """Store through `writer` what `reader` reads; `report` is called after each batch."""
        self._paths = paths
        self._writer = writer
        self._reader = reader
        self._report = report
        self._busy = threading.Lock()
        self._stopping = False
        self._failure = KeptError()

    @property
    def error(self) -> Exception | None:
        """The error of the last batch that failed since the query started."""
        return self._failure.error

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Store one micro-batch. An exception reaches Spark only as text, so it is kept in `error` too."""
        with self._busy:
            if self._stopping:
                raise StoppingError
            hit("after-offsets")
            with self._failure.keeping():
                self._report(self._store(number, self._reader.ranges(), batch, {}))

    def finish(self) -> BatchSummary | None:
        """Complete a batch that only the quarantine has; return None if there is none."""
        with self._busy:
            ranges = self._writer.half_committed()
            if not ranges:
                return None
            quarantine = self._writer.table(QUARANTINE)
            known = offsets_within(quarantine, self._paths.quarantine, ranges)
            with self._failure.keeping():
                return self._store(-1, ranges, None, known)

    def stop_accepting(self) -> None:
        """Wait for the batch that is being stored, if any, and refuse further ones."""
        with self._busy:
            self._stopping = True

    @contextmanager
    def between_batches(self) -> Iterator[None]:
        """Hold up batches while another part of this process changes the tables."""
        with self._busy:
            yield
            self._writer.invalidate_cache()

    def restart(self) -> None:
        """Discard cached table state and the last error, before the query restarts after a failed batch."""
        with self._busy:
            self._writer.invalidate_cache()
            self._failure = KeptError()

    def _store(self, number: int, ranges: Ranges, batch: DataFrame | None, known: Mapping[int, Offsets64]) -> BatchSummary:
        self._refuse_misplaced(ranges)
        folders = {name: self._paths.table(name) for name in (QUARANTINE, TICKS)}
        files = self._reader.read(ranges, batch, WorkerTask(folders, int(time.time() * 1000), known))
        quarantined = Change.of([file for file in files if file.table == QUARANTINE], ranges)
        ticks = Change.of([file for file in files if file.table == TICKS], ranges, _holes(files, ranges, known))
        if quarantined.added:
            self._commit(QUARANTINE, quarantined)
        version = self._commit(TICKS, ticks)
        return BatchSummary(
            batch=number,
            offsets=sum(span.count for span in ranges.values()),
            ticks=sum(ticks.rows.values()),
            quarantined=sum(quarantined.rows.values()),
            version=version,
        )

    def _commit(self, name: str, change: Change) -> int:
        hit(f"before-{name}-commit")
        version = self._writer.commit(name, change)
        hit(f"after-{name}-commit")
        return version

    def _refuse_misplaced(self, ranges: Ranges) -> None:
        for partition, span in ranges.items():
            if span.start != (position := self._writer.start(partition)):
                raise MisplacedBatchError(
                    f"Spark has planned partition {partition} from offset {span.start}, the table is at {position}"
                )


def _holes(files: Sequence[WrittenFile], ranges: Ranges, known: Mapping[int, Offsets64]) -> int:
    """Count the offsets of the batch without a record in Kafka, which transactional producers leave.

    Raises RuntimeError if there are more records than offsets.
    """
    rows = rows_of(files)
    for partition, offsets in known.items():
        rows[partition] = rows.get(partition, 0) + len(offsets)
    for partition, count in rows.items():
        offsets_planned = ranges[partition].count if partition in ranges else 0
        if count > offsets_planned:
            raise RuntimeError(f"a batch has {count} records of partition {partition} for {offsets_planned} offsets")
    return sum(span.count for span in ranges.values()) - sum(rows.values())
