"""The scan: read every row of a table once, and add up all that the judgements need.

Two threads read files: Arrow and numpy leave the interpreter's lock while they work. Adding up is short, and under a lock.
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
    from finance_verify.sequences import Sequences
    from finance_verify.snapshot import TableView

READERS = 2

Scope = dict[int, "OffsetRange"]


class Flaw(NamedTuple):
    """A data file that is not whole, and in what."""

    file: LoggedFile
    what: str


class Fingerprints:
    """The digest of each row by its coordinates: 8 bytes an offset, so only where values are compared with the topic."""

    def __init__(self, scope: Scope) -> None:
        """Begin with none known."""
        self.of = {partition: np.zeros(span.count, np.uint64) for partition, span in scope.items()}
        self.scope = scope

    def add(self, partition: int, offsets: Offsets64, digests: Words) -> None:
        """Note the digests of rows; their offsets must be in the scope."""
        self.of[partition][offsets - self.scope[partition].start] = digests


class Sum:
    """What the rows of one table add up to.

    Attributes:
        coverage: of each partition's range
        rows, digest: of all rows but those that are ahead of ticks
        strange: rows outside of the range
        misdated: rows whose `date` is not the day of their arrival, by neither clock

    """

    def __init__(
        self,
        scope: Scope,
        ahead: Scope | None = None,
        sequences: Sequences | None = None,
        fingerprints: Fingerprints | None = None,
    ) -> None:
        """Rows in `ahead` are passed over: they belong to a batch that ticks do not have yet."""
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
        """Add rows of a file; may be called by several threads."""
        rows = _but(rows, _inside(self._ahead, rows))
        digests = digest.row_digests(rows.batch)
        named = _fingerprint(file, rows, digests) if self._fingerprints else digests
        late = _misdated(file, rows)
        with self._lock:
            self.rows += len(rows.offsets)
            self.digest = digest.add([self.digest, int(digests.sum(dtype=np.uint64))])
            self._place(rows, named)
            self.misdated.add(rows.partitions[late], rows.offsets[late])
            if self._sequences:
                self._sequences.add(rows)

    def _place(self, rows: FileRows, named: Words) -> None:
        strange = np.ones(len(rows.offsets), dtype=bool)
        for partition, coverage in self.coverage.items():
            mine = (rows.partitions == partition) & coverage.within(rows.offsets)
            if mine.any():
                offsets = rows.offsets[mine]
                coverage.add(offsets)
                strange &= ~mine
                if self._fingerprints:
                    self._fingerprints.add(partition, offsets, named[mine])
        self.strange.add(rows.partitions[strange], rows.offsets[strange])


def scan(table: TableView, take: Callable[[LoggedFile, FileRows], None], advance: Callable[[int], None]) -> list[Flaw]:
    """Give all rows of a table to `take`; return the files that are not whole. `advance` hears of rows as they are read."""

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


def _but(rows: FileRows, leaving: Mask) -> FileRows:
    if not leaving.any():
        return rows
    staying = ~leaving
    return rows._replace(batch=rows.batch.filter(staying), partitions=rows.partitions[staying], offsets=rows.offsets[staying])


def _fingerprint(file: LoggedFile, rows: FileRows, digests: Words) -> Words:
    # The words in which a fault is told may differ between versions of Python. What a column holds that this version does not
    # know, no record tells it.
    known = [name for name in rows.batch.schema.names if name in FIELDS[file.table].names and name != "detail"]
    return digests if len(known) == rows.batch.num_columns else digest.row_digests(rows.batch.select(known))


def _misdated(file: LoggedFile, rows: FileRows) -> Mask:
    if file.date is None:
        return np.zeros(len(rows.offsets), dtype=bool)
    day = np.datetime64(file.date, "D").astype(np.int64)
    wrong: Mask = dates(rows.batch, "kafka_timestamp") != day
    if wrong.any():  # where a client has set that time, the day of arrival is that on which the lake took the record in
        wrong &= dates(rows.batch, "ingested_at") != day
    return wrong
