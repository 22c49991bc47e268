"""The scan: read every row of a table once, and collect everything that the checks need.

Two threads read files: Arrow and numpy release the GIL while they work. Adding up is short and done under a lock.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_storage import digest
from finance_storage.schemas import FIELDS
from finance_verify.coverage import Coverage, Spots
from finance_verify.data_files import CorruptError, dates, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from finance_kafka.offsets import OffsetRange
    from finance_storage.digest import Words
    from finance_storage.offset_set import Mask, Offsets64
    from finance_verify.data_files import FileRows, LoggedFile
    from finance_verify.retracted import Retracted
    from finance_verify.sequences import Sequences
    from finance_verify.snapshot import TableView

READERS = 2

Scope = dict[int, "OffsetRange"]


class Flaw(NamedTuple):
    """A damaged data file, and what is wrong with it."""

    file: LoggedFile
    what: str


class Fingerprints:
    """The digest of each row by its coordinates. Needs 8 bytes per offset, so it is used only with `--values`."""

    def __init__(self, scope: Scope) -> None:
        """Start with all digests at 0."""
        self.of = {partition: np.zeros(span.count, np.uint64) for partition, span in scope.items()}
        self.scope = scope

    def add(self, partition: int, offsets: Offsets64, digests: Words) -> None:
        """Store the digests of rows; their offsets must be in the scope."""
        self.of[partition][offsets - self.scope[partition].start] = digests


class Sum:
    """Sums over the rows of one table.

    Attributes:
        coverage: coverage of each partition's range
        rows, digest: row count and digest, without rows that are ahead of ticks
        strange: rows outside of the range
        misdated: rows whose `date` is neither the day of their `kafka_timestamp` nor of their `ingested_at`

    """

    def __init__(
        self,
        scope: Scope,
        ahead: Scope | None = None,
        sequences: Sequences | Retracted | None = None,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        """Start with no rows. Rows in `ahead` will be ignored: they belong to a batch that ticks does not contain yet."""
        self.coverage = {partition: Coverage(span) for partition, span in scope.items()}
        self.rows = 0
        self.digest = 0
        self.strange = Spots()
        self.misdated = Spots()
        self._ahead = ahead or {}
        self._sequences = sequences
        self._fingerprints = fingerprints
        self._lock = threading.Lock()

    def add(self, file: LoggedFile, rows: FileRows) -> None:
        """Add rows of a file. Thread-safe."""
        rows = _without(rows, _inside(self._ahead, rows))
        digests = digest.row_digests(rows.batch)
        fingerprints = _fingerprint(file, rows, digests) if self._fingerprints else digests
        misdated = _misdated(file, rows)
        with self._lock:
            self.rows += len(rows.offsets)
            self.digest = digest.add([self.digest, int(digests.sum(dtype=np.uint64))])
            self._place(rows, fingerprints)
            self.misdated.add(rows.partitions[misdated], rows.offsets[misdated])
            if self._sequences:
                self._sequences.add(rows)

    def _place(self, rows: FileRows, fingerprints: Words) -> None:
        strange = np.ones(len(rows.offsets), dtype=bool)
        for partition, coverage in self.coverage.items():
            expected = (rows.partitions == partition) & coverage.within(rows.offsets)
            if expected.any():
                offsets = rows.offsets[expected]
                coverage.add(offsets)
                strange &= ~expected
                if self._fingerprints:
                    self._fingerprints.add(partition, offsets, fingerprints[expected])
        self.strange.add(rows.partitions[strange], rows.offsets[strange])


def scan(table: TableView, take: Callable[[LoggedFile, FileRows], None], advance: Callable[[int], None]) -> list[Flaw]:
    """Pass all rows of a table to `take`; return the damaged files. `advance` is called with the number of rows just read."""

    def read(file: LoggedFile) -> Flaw | None:
        try:
            for rows in read_rows(file, table.columns):
                take(file, rows)
                advance(len(rows.offsets))
        except CorruptError as error:
            return Flaw(file, str(error))
        return None

    with ThreadPoolExecutor(READERS) as pool:
        return [flaw for flaw in _each(pool, read, table.files) if flaw]


def _each(
    pool: ThreadPoolExecutor, read: Callable[[LoggedFile], Flaw | None], files: Iterable[LoggedFile]
) -> Iterable[Flaw | None]:
    try:
        yield from pool.map(read, files)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _inside(scope: Scope, rows: FileRows) -> Mask:
    inside = np.zeros(len(rows.offsets), dtype=bool)
    for partition, span in scope.items():
        inside |= (rows.partitions == partition) & (rows.offsets >= span.start) & (rows.offsets < span.end)
    return inside


def _without(rows: FileRows, excluded: Mask) -> FileRows:
    if not excluded.any():
        return rows
    kept = ~excluded
    return rows._replace(batch=rows.batch.filter(kept), partitions=rows.partitions[kept], offsets=rows.offsets[kept])


def _fingerprint(file: LoggedFile, rows: FileRows, digests: Words) -> Words:
    # `detail` is left out because its wording may differ between Python versions, and columns that this version does not know
    # because no record has their values.
    known = [name for name in rows.batch.schema.names if name in FIELDS[file.table].names and name != "detail"]
    return digests if len(known) == rows.batch.num_columns else digest.row_digests(rows.batch.select(known))


def _misdated(file: LoggedFile, rows: FileRows) -> Mask:
    if file.date is None:
        return np.zeros(len(rows.offsets), dtype=bool)
    day = np.datetime64(file.date, "D").astype(np.int64)
    wrong: Mask = dates(rows.batch, "kafka_timestamp") != day
    if wrong.any():  # if a client set kafka_timestamp, `date` is the day on which the lake ingested the record
        wrong &= dates(rows.batch, "ingested_at") != day
    return wrong
