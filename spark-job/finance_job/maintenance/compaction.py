"""Maintenance inside the job, between batches: merge small files, sort closed dates, write checkpoints of the logs, VACUUM.

Work is done in steps of about a second beside the stream; only the commit, and the look at what it did, keeps a batch waiting.
Files are exchanged for others with the same rows: what was read, what was written and what the table holds afterwards are
compared by row count and digest, and where they differ the table is put back and the job stops (exit code 79). Killed at any
point, it leaves the table as it was or as it was to be, and at most files that no commit names.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pyarrow.parquet as pq

from finance_job import transaction
from finance_job.maintenance.compaction_plan import MAX_ROWS_PER_FILE, MERGED, SORTED, Slice, slices, to_merge, to_sort
from finance_job.repair import rewrite
from finance_job.transaction import NO_HOOKS, live_files
from finance_role import beneath
from finance_storage import digest
from finance_storage.data_file import WrittenFile, write_data_file
from finance_storage.delta_table import commits, open_table
from finance_storage.files import literal
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import date

    import numpy as np
    from deltalake import DeltaTable
    from structlog.typing import FilteringBoundLogger

    from finance_job.transaction import LiveFile
    from finance_job.writer import Writer

LOOK_SECONDS = 15.0
VACUUM_SECONDS = 24 * 3600.0
LOG_CHECKPOINT_INTERVAL = 100  # commits
# Records of yesterday still come in after midnight.
GRACE = timedelta(minutes=10)
SORTING = [("symbol", "ascending"), ("ts_event", "ascending"), ("kafka_partition", "ascending"), ("kafka_offset", "ascending")]


def _today() -> date:
    return (datetime.now(UTC) - GRACE).date()


class CompactionMismatchError(Exception):
    """Maintenance would have changed rows; it was undone. The message is a sentence for the operator."""


class Maintenance:
    """Keeps the tables of a lake in shape, a step at a time."""

    def __init__(
        self,
        paths: LakePaths,
        writer: Writer,
        exclusively: Callable[[], AbstractContextManager[None]],
        log: FilteringBoundLogger,
        today: Callable[[], date] = _today,
    ) -> None:
        """Take a lake; in `exclusively()` nobody else in this process writes its tables. Dates before `today()` are closed."""
        self._paths = paths
        self._writer = writer
        self._exclusively = exclusively
        self._log = log
        self._today = today
        self._work: Iterator[None] = iter(())
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._next_vacuum = time.monotonic()

    def step(self) -> None:
        """Do a little of what is due, if anything is. Raises CompactionMismatchError."""
        for _ in self._work:
            return
        if time.monotonic() >= self._next_look:
            self._work = self._due()
            self._next_look = time.monotonic() + LOOK_SECONDS

    def all(self) -> None:
        """Do all that is due."""
        for _ in self._due():
            pass

    def _due(self) -> Iterator[None]:
        today = self._today()
        for name in (TICKS, QUARANTINE):
            self._write_log_checkpoint(name)
            while sources := to_merge(name, self._files(name), today):
                yield from self._rewrite(name, sources, [self._whole(name, sources)], MERGED)
        while sources := to_sort(self._files(TICKS), today):
            yield from self._rewrite(TICKS, sources, self._in_order(sources), SORTED)
        if time.monotonic() >= self._next_vacuum:
            self._next_vacuum = time.monotonic() + VACUUM_SECONDS
            self._vacuum()

    def _files(self, name: str) -> list[LiveFile]:
        table = open_table(self._paths.table(name))
        return live_files(table) if table else []

    def _whole(self, name: str, sources: Sequence[LiveFile]) -> pa.Table:
        parts = [rewrite.read(name, self._paths.table(name), file) for file in sources]
        return pa.concat_tables(parts, promote_options="default")  # a column of others may be in some of them

    def _in_order(self, sources: Sequence[LiveFile]) -> Iterator[pa.Table]:
        names = [literal(file.path) for file in sources]
        beneath.look_at_all(self._paths.root, self._paths.ticks, names)
        rows = _scan([str(self._paths.ticks / name) for name in names])
        counted = pc.value_counts(rows.to_table(columns=["symbol"]).column("symbol").combine_chunks())
        counts = {one["values"]: one["counts"] for one in counted.to_pylist()}
        times = {symbol: _times(rows, symbol) for symbol, count in counts.items() if count > MAX_ROWS_PER_FILE[TICKS]}
        for piece in slices(counts, times):
            yield rows.to_table(filter=_condition(piece)).sort_by(SORTING)

    def _rewrite(self, name: str, sources: Sequence[LiveFile], pieces: Iterable[pa.Table], what: str) -> Iterator[None]:
        started, folder = time.monotonic(), self._paths.table(name)
        added: list[WrittenFile] = []
        for rows in pieces:
            added.append(write_data_file(rows, name, str(folder), sources[0].partition_values, what))
            yield
        with self._exclusively():
            if not self._exchange(name, added, sources, what):
                return
        self._log.info(
            "maintenance",
            table=folder.name,
            did=what,
            files=len(sources),
            into=len(added),
            rows=sum(file.rows for file in sources),
            ms=round(1000 * (time.monotonic() - started)),
        )

    def _exchange(self, name: str, added: Sequence[WrittenFile], sources: Sequence[LiveFile], what: str) -> bool:
        """Put files in the place of others; False if those are not all there any more."""
        table = self._writer.table(name)
        live = live_files(table)
        if not {file.path for file in sources} <= {file.path for file in live}:
            return False  # a redrive has rewritten one of them meanwhile; the new files are of no use, and VACUUM removes them
        version = table.version()
        self._writer.compact(name, added, sources, what)
        if fault := self._fault(name, table, sum(file.rows for file in live), added):
            table.restore(version, post_commithook_properties=NO_HOOKS)
            raise CompactionMismatchError(
                f"{what} files of {name}: {fault}; the table is back at version {version}, nothing is lost"
            )
        return True

    def _fault(self, name: str, table: DeltaTable, before: int, added: Sequence[WrittenFile]) -> str | None:
        """Say how the table differs from what it was; the digests of `added` are those of the rows that were read."""
        live = {file.path: file for file in live_files(table)}
        if (rows := sum(file.rows for file in live.values())) != before:
            return f"the table has {rows} rows instead of {before}"
        for file in added:
            try:
                stored = digest.digest_of(rewrite.read(name, self._paths.table(name), live[file.path]))
            except (OSError, pa.ArrowInvalid) as error:
                return f"{file.path} cannot be read ({error})"
            if stored != file.digest:
                return f"{file.path} does not hold the rows that it was made of"
        return None

    def _write_log_checkpoint(self, name: str) -> None:
        """Write a checkpoint of the log, beside the stream, so that the table opens quickly; old entries go.

        It is that of the newest version whose commit carries a record, so that clean-up never takes that entry away.
        """
        started, folder = time.monotonic(), self._paths.table(name)
        table = open_table(folder)
        newest = next(commits(folder, table.version()), None) if table else None
        if newest is None or newest.version - transaction.last_log_checkpoint(folder) < LOG_CHECKPOINT_INTERVAL:
            return
        transaction.write_log_checkpoint(folder, newest.version)
        milliseconds = round(1000 * (time.monotonic() - started))
        self._log.info("maintenance", table=folder.name, did="log checkpoint written", version=newest.version, ms=milliseconds)

    def _vacuum(self) -> None:
        for name in (TICKS, QUARANTINE):
            # It would follow a link, and remove what it finds there.
            beneath.require_unlinked(self._paths.root, self._paths.table(name))
            table = open_table(self._paths.table(name))
            if table and table.vacuum(dry_run=True):
                with self._exclusively():
                    table.update_incremental()
                    removed = table.vacuum(dry_run=False, post_commithook_properties=NO_HOOKS)
                self._log.info("maintenance", table=self._paths.table(name).name, did="vacuumed", files=len(removed))


def _scan(paths: list[str]) -> pyarrow.dataset.Dataset:
    columns = pa.unify_schemas([rewrite.columns_of(TICKS, pq.read_schema(path)) for path in paths])
    options = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
    kind = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=options)
    return pyarrow.dataset.dataset(paths, columns, kind)


def _times(rows: pyarrow.dataset.Dataset, symbol: str) -> np.ndarray:
    times: np.ndarray = rows.to_table(columns=["ts_event"], filter=pc.field("symbol") == symbol).column("ts_event").to_numpy()
    return times


def _condition(piece: Slice) -> pc.Expression:
    condition = pc.field("symbol").isin(piece.symbols)
    kind = FIELDS[TICKS].field("ts_event").type
    if piece.start is not None:
        condition &= pc.field("ts_event") >= pa.scalar(piece.start, kind)
    if piece.end is not None:
        condition &= pc.field("ts_event") < pa.scalar(piece.end, kind)
    return condition
