"""Maintenance inside the job, between batches: merge small files, sort closed dates, write log checkpoints, VACUUM.

The work runs in steps of about a second beside the stream; only the commit and its check hold up a batch. Maintenance replaces
files by others with the same rows. It compares row counts and digests of what it read, what it wrote and what the table holds
afterwards. If they differ, it restores the table and the job stops (exit code 79). Killed at any point, it leaves the table
in its old or its new state, and at worst some files that no commit names.
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
from finance_storage import digest, place
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
    from finance_storage.place import Place

LOOK_SECONDS = 15.0
VACUUM_SECONDS = 24 * 3600.0
LOG_CHECKPOINT_INTERVAL = 100  # commits
# After midnight, records of the day before still arrive.
GRACE = timedelta(minutes=10)
# Arrow compares a file's statistics with a condition in the file's own type of text, unless it is cast.
SYMBOL = pc.field("symbol").cast(pa.string())
SORTING = [("symbol", "ascending"), ("ts_event", "ascending"), ("kafka_partition", "ascending"), ("kafka_offset", "ascending")]


def _today() -> date:
    return (datetime.now(UTC) - GRACE).date()


class CompactionMismatchError(Exception):
    """Maintenance would have changed rows and was undone. The message is for the operator."""


class Maintenance:
    """Maintains the tables of a lake, a step at a time."""

    def __init__(
        self,
        paths: LakePaths,
        writer: Writer,
        exclusively: Callable[[], AbstractContextManager[None]],
        log: FilteringBoundLogger,
        today: Callable[[], date] = _today,
    ) -> None:
        """Maintain the lake at `paths`.

        Inside `exclusively()` nothing else in this process writes the tables. Dates before `today()` are closed.
        """
        self._paths = paths
        self._writer = writer
        self._exclusively = exclusively
        self._log = log
        self._today = today
        self._work: Iterator[None] = iter(())
        self._next_look = time.monotonic() + LOOK_SECONDS
        self._next_vacuum = time.monotonic()

    def step(self) -> None:
        """Run one step of the work that is due, if any. Raises CompactionMismatchError."""
        for _ in self._work:
            return
        if time.monotonic() >= self._next_look:
            self._work = self._due()
            self._next_look = time.monotonic() + LOOK_SECONDS

    def all(self) -> None:
        """Run all work that is due."""
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
        return pa.concat_tables(parts, promote_options="default")  # some may lack another writer's column

    def _in_order(self, sources: Sequence[LiveFile]) -> Iterator[pa.Table]:
        names = [literal(file.path) for file in sources]
        place.require_regular(self._paths.root, self._paths.ticks, names)
        rows = _scan(self._paths.ticks, names)
        symbols = pc.value_counts(rows.to_table(columns=["symbol"]).column("symbol").combine_chunks())
        counts = {entry["values"]: entry["counts"] for entry in symbols.to_pylist()}
        times = {symbol: _times(rows, symbol) for symbol, count in counts.items() if count > MAX_ROWS_PER_FILE[TICKS]}
        for piece in slices(counts, times):
            yield rows.to_table(filter=_condition(piece)).sort_by(SORTING)

    def _rewrite(self, name: str, sources: Sequence[LiveFile], pieces: Iterable[pa.Table], what: str) -> Iterator[None]:
        started, folder = time.monotonic(), self._paths.table(name)
        added: list[WrittenFile] = []
        for rows in pieces:
            added.append(write_data_file(rows, name, folder, sources[0].partition_values, what))
            yield
        with self._exclusively():
            if not self._commit_compaction(name, added, sources, what):
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

    def _commit_compaction(self, name: str, added: Sequence[WrittenFile], sources: Sequence[LiveFile], what: str) -> bool:
        """Replace `sources` by `added` in one commit; return False if the table no longer has all the sources."""
        table = self._writer.table(name)
        live = live_files(table)
        if not {file.path for file in sources} <= {file.path for file in live}:
            return False  # a redrive has rewritten one of them meanwhile; VACUUM removes the new files
        version = table.version()
        self._writer.compact(name, added, sources, what)
        if fault := self._fault(name, table, sum(file.rows for file in live), added):
            table.restore(version, post_commithook_properties=NO_HOOKS)
            raise CompactionMismatchError(
                f"{what} files of {name}: {fault}; the table is back at version {version} and no rows are lost"
            )
        return True

    def _fault(self, name: str, table: DeltaTable, before: int, added: Sequence[WrittenFile]) -> str | None:
        """Return how the table's rows differ from before; the digests of `added` are those of the rows that were read."""
        live = {file.path: file for file in live_files(table)}
        if (rows := sum(file.rows for file in live.values())) != before:
            return f"the table has {rows} rows instead of {before}"
        for file in added:
            try:
                stored = digest.digest_of(rewrite.read(name, self._paths.table(name), live[file.path]))
            except (OSError, pa.ArrowInvalid) as error:
                return f"{file.path} cannot be read ({error})"
            if stored != file.digest:
                return f"{file.path} does not hold the rows that were written to it"
        return None

    def _write_log_checkpoint(self, name: str) -> None:
        """Write a log checkpoint, beside the stream, so that the table opens quickly, and remove old entries.

        The checkpoint is of the newest version with commit metadata, so that the clean-up never removes that entry.
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
            # VACUUM would follow a link and remove the files behind it.
            place.require_unlinked(self._paths.root, self._paths.table(name))
            table = open_table(self._paths.table(name))
            if table and table.vacuum(dry_run=True):
                with self._exclusively():
                    table.update_incremental()
                    removed = table.vacuum(dry_run=False, post_commithook_properties=NO_HOOKS)
                self._log.info("maintenance", table=self._paths.table(name).name, did="vacuumed", files=len(removed))


def _scan(folder: Place, names: list[str]) -> pyarrow.dataset.Dataset:
    system, base = place.file_system(folder)
    paths = [f"{base}/{name}" for name in names]
    columns = pa.unify_schemas([rewrite.columns_of(TICKS, pq.read_schema(path, filesystem=system)) for path in paths])
    options = pyarrow.dataset.ParquetFragmentScanOptions(page_checksum_verification=True)
    kind = pyarrow.dataset.ParquetFileFormat(default_fragment_scan_options=options)
    return pyarrow.dataset.dataset(paths, columns, kind, filesystem=system)


def _times(rows: pyarrow.dataset.Dataset, symbol: str) -> np.ndarray:
    times: np.ndarray = rows.to_table(columns=["ts_event"], filter=symbol == SYMBOL).column("ts_event").to_numpy()
    return times


def _condition(piece: Slice) -> pc.Expression:
    condition = SYMBOL.isin(piece.symbols)
    kind = FIELDS[TICKS].field("ts_event").type
    if piece.start is not None:
        condition &= pc.field("ts_event") >= pa.scalar(piece.start, kind)
    if piece.end is not None:
        condition &= pc.field("ts_event") < pa.scalar(piece.end, kind)
    return condition
