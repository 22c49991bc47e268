"""The sink: one micro-batch into two tables, exactly once.

Why it is exactly once. Spark writes the batch's offsets to the checkpoint before the batch runs and replays an unfinished
batch with the same offsets. Each table's commit carries a transaction (`<query id>:<table>`, batch id); a replay asks each
table for its newest transaction and leaves out the table that has the batch already. So whatever dies, and whenever, each table
gets the rows of a batch in one atomic commit or not yet (Delta protocol, "Transaction Identifiers").

The order is part of it: quarantine first, and only if the batch has malformed records; ticks always, even without a row. The
commit to ticks thereby closes the batch, and its record says how many rows the quarantine must have for it.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from deltalake import DeltaTable

from finance_contract import CONTRACT_VERSION
from finance_job import transaction
from finance_job.data_file import DataFile, rows_of
from finance_job.failpoint import reach
from finance_job.write import Task
from finance_lake.state import digest
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.record import CommitRecord, Total
from finance_lake.state.table import newest_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import DataFrame

    from finance_job.reader import Reader
    from finance_lake.state.checkpoint import Checkpoint, PlannedBatch


class StoppingError(Exception):
    """Raised into Spark for a batch that came after the job was told to stop: it must not count as done."""


@dataclass(frozen=True)
class BatchSummary:
    """What became of a batch; `version` is that of the table of ticks."""

    batch: int
    records: int
    ticks: int
    quarantined: int
    version: int | None
    milliseconds: int


class _Committed(NamedTuple):
    """How far a table is: its newest batch of this query, and the newest record, whoever wrote it."""

    table: DeltaTable
    batch: int
    record: CommitRecord | None

    @property
    def total(self) -> Total:
        return self.record.total if self.record else Total()


class Sink:
    """Takes each micro-batch of the query (`foreachBatch`)."""

    def __init__(
        self,
        layout: Layout,
        checkpoint: Checkpoint,
        reader: Reader,
        report: Callable[[BatchSummary], None],
    ) -> None:
        """Open both tables; `reader` writes a batch's data files, and `report` is called after each batch."""
        self._reader = reader
        self._layout = layout
        self._checkpoint = checkpoint
        self._report = report
        self._committed: dict[str, _Committed] = {}
        self._busy = threading.Lock()
        self._stopping = False

    def __call__(self, records: DataFrame, batch: int) -> None:
        """Store one micro-batch."""
        with self._busy:
            if self._stopping:
                raise StoppingError
            reach("after-offsets")
            started = time.monotonic()
            plan = self._checkpoint.planned(batch)
            query = self._checkpoint.query_id()
            written, version = self._store(records, plan, query)
            milliseconds = round(1000 * (time.monotonic() - started))
        ticks, quarantined = (_row_count(written[name]) for name in (TICKS, QUARANTINE))
        spanned = sum(offsets.count for offsets in plan.offsets.values())
        self._report(BatchSummary(batch, spanned, ticks, quarantined, version, milliseconds))

    def decline_further_batches(self) -> None:
        """Wait for the batch that is being stored, if any, and store no other."""
        with self._busy:
            self._stopping = True

    @contextmanager
    def between_batches(self) -> Iterator[None]:
        """Keep batches waiting while somebody else in this process changes the tables."""
        with self._busy:
            yield
            self._committed.clear()

    def forget(self) -> None:
        """Ask the tables anew how far they are: a batch has failed, and nobody knows where."""
        with self._busy:
            self._committed.clear()

    def _store(self, records: DataFrame, plan: PlannedBatch, query: str) -> tuple[dict[str, list[DataFile]], int | None]:
        missing = [name for name in (QUARANTINE, TICKS) if self._newest(name, query).batch < plan.batch]
        files = self._write(records, missing, plan)
        written = {name: [file for file in files if file.table == name] for name in (QUARANTINE, TICKS)}
        holes = _holes(files, [self._newest(name, query) for name in (QUARANTINE, TICKS) if name not in missing], plan)
        version = None
        for name in missing:
            if name == TICKS or written[name]:
                version = self._commit(name, written[name], plan, query, holes if name == TICKS else 0)
        return written, version

    def _write(self, records: DataFrame, tables: Sequence[str], plan: PlannedBatch) -> list[DataFile]:
        task = Task({name: str(self._layout.table(name)) for name in tables}, plan.planned_ms)
        return self._reader.read(plan.offsets, records, task) if tables else []

    def _commit(self, name: str, files: Sequence[DataFile], plan: PlannedBatch, query: str, holes: int) -> int:
        before = self._newest(name, query)
        rows, digest_of_rows = rows_of(files), digest.add([file.digest for file in files])
        record = CommitRecord(
            contract=CONTRACT_VERSION,
            query=query,
            batch=plan.batch,
            offsets=plan.offsets,
            rows=rows,
            digest=digest.to_text(digest_of_rows),
            position=plan.end,
            total=before.total.plus(sum(rows.values()), digest_of_rows, holes),
            redrives=before.record.redrives if before.record else 0,
        )
        reach(f"before-{name}-commit")
        version = transaction.commit(before.table, name, files, [], record)
        reach(f"after-{name}-commit")
        self._committed[name] = _Committed(before.table, plan.batch, record)
        return version

    def _newest(self, name: str, query: str) -> _Committed:
        # Asked of the tables after a start and after maintenance; in between this process alone commits, so it knows.
        if name not in self._committed:
            table = DeltaTable(str(self._layout.table(name)))
            batch = table.transaction_version(f"{query}:{name}")
            self._committed[name] = _Committed(table, -1 if batch is None else batch, newest_record(table))
        return self._committed[name]


def _holes(files: Sequence[DataFile], stored: Sequence[_Committed], plan: PlannedBatch) -> int:
    """Count the offsets of the batch that Kafka had no record for, which transactional producers leave.

    Raises RuntimeError for records that the plan has no offset for.
    """
    rows = rows_of(files)
    for table in stored:
        if table.record and table.batch == plan.batch:
            rows = {partition: rows.get(partition, 0) + table.record.rows.get(partition, 0) for partition in plan.offsets}
    for partition, count in rows.items():
        offsets = plan.offsets[partition].count
        if count > offsets:
            raise RuntimeError(f"batch {plan.batch} brought {count} records of partition {partition} for {offsets} offsets")
    return sum(offsets.count for offsets in plan.offsets.values()) - sum(rows.values())


def _row_count(files: Sequence[DataFile]) -> int:
    return sum(rows_of(files).values())
