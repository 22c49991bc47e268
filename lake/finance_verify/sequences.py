"""Compare the sequence numbers of each source in the ticks table with the source's ledger.

A tick that the broker acknowledged and no table contains is the worst finding. One that is in the table without an
acknowledgement is fine: the acknowledgement was lost, or had not arrived when the run was killed. One that is in the table
twice was sent twice.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from finance_kafka.offsets import OffsetRange
from finance_storage.offset_set import inside, spans_of
from finance_verify.coverage import Coverage, runs
from finance_verify.verdict import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from finance_storage.ledger import Ledgers, Range
    from finance_storage.offset_set import Offsets64, OffsetSet
    from finance_verify.data_files import FileRows, LoggedFile


class Judged(NamedTuple):
    """The result for one source. Counts cover all numbers; ranges list only the first ones."""

    acknowledged: int
    missing: int
    missing_ranges: list[OffsetRange]
    doubled: int
    doubled_ranges: list[OffsetRange]
    unacknowledged: int


class NumberCounts:
    """How often each number of one source was seen.

    Numbers up to the ledger's last one need a byte each. Larger ones are kept as a list, so an absurd number costs no memory.
    """

    def __init__(self, end: int) -> None:
        """Expect numbers below `end`."""
        self._coverage = Coverage(OffsetRange(0, end))
        self._beyond: list[Offsets64] = []

    def add(self, numbers: Offsets64) -> None:
        """Count numbers."""
        expected = self._coverage.within(numbers)
        if expected.all():
            self._coverage.add(numbers)
        else:
            self._coverage.add(numbers[expected])
            self._beyond.append(numbers[~expected])

    @property
    def numbers(self) -> Offsets64:
        """The numbers seen, in order, each once."""
        return np.union1d(np.flatnonzero(self._coverage.times), np.concatenate([np.zeros(0, np.int64), *self._beyond]))

    @property
    def rows(self) -> int:
        """The number of ticks seen, duplicates included."""
        return self._coverage.rows + sum(numbers.size for numbers in self._beyond)

    def judge(self, acknowledged: Iterable[Range]) -> Judged:
        """Compare the numbers with the ranges `[first, last]` that the broker acknowledged."""
        count, missing, ranges = 0, 0, list[OffsetRange]()
        for first, last in acknowledged:
            part = self._coverage.part(OffsetRange(first, last + 1))
            absent = self._coverage.times[part] == 0
            count += last + 1 - first
            missing += int(np.count_nonzero(absent)) + (last + 1 - first) - absent.size
            ranges += runs(absent, first)
        beyond, times = np.unique(np.concatenate([np.zeros(0, np.int64), *self._beyond]), return_counts=True)
        distinct = self._coverage.distinct + beyond.size
        doubled = runs(self._coverage.times > 1, 0) + [
            OffsetRange(int(number), int(number) + 1) for number in beyond[times > 1][:20]
        ]
        return Judged(count, missing, ranges, self.rows - distinct, doubled, distinct - (count - missing))


class Sequences:
    """The sequence numbers of the sources that have a ledger."""

    def __init__(self, ledgers: Ledgers, most: int, excused: OffsetSet) -> None:
        """Accept the ledgers to compare. Numbers below `most` need a byte each; ticks at `excused` offsets are ignored."""
        self._ledgers = ledgers
        self._excused = excused
        self._of = {source: NumberCounts(0) for source in ledgers.unbegun}
        self._of |= {source: NumberCounts(min(account.end, most)) for source, account in ledgers.accounts.items()}

    def add(self, rows: FileRows) -> None:
        """Count the numbers of ticks; other sources and rows without a number are ignored."""
        if not self._of:
            return
        sources = rows.batch.column("source").dictionary_encode()
        indices = pc.fill_null(sources.indices, -1).to_numpy()
        numbers = rows.batch.column("seq")
        numbered = np.asarray(pc.is_valid(numbers))
        if self._excused:
            numbered = numbered & ~inside(self._excused, rows.partitions, rows.offsets)
        values = pc.fill_null(numbers, -1).to_numpy()
        for index, source in enumerate(sources.dictionary.to_pylist()):
            if source in self._of:
                self._of[source].add(values[(indices == index) & numbered])

    def add_numbers(self, source: str, numbers: Offsets64) -> None:
        """Count numbers of a source whose ticks are elsewhere; a source without a ledger is ignored."""
        if source in self._of:
            self._of[source].add(numbers)

    def judge(self) -> dict[str, Judged]:
        """Compare the numbers of each source with its ledger."""
        return {source: self._of[source].judge(account.acknowledged) for source, account in self._ledgers.accounts.items()}

    def wrong(self) -> list[str]:
        """Return faults of the ledgers themselves. A ledger without a complete line is fine if its run sent nothing."""
        unbegun = [(source, rows) for source in self._ledgers.unbegun if (rows := self._of[source].rows)]
        unwritten = [
            f"the ledger of {source} has no complete line, but finance_delta has {rows:,} of its ticks"
            for source, rows in unbegun
        ]
        return [*self._ledgers.wrong, *unwritten]


# How many numbers of each source are named with their places.
MAX_NAMED = 8


class Place(NamedTuple):
    """A coordinate of the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """Format as `make recover EXCUSE=` accepts it."""
        return f"{self.partition}:{self.offset}"


# Places by source, then by number.
Places = dict[str, dict[int, list[Place]]]


class DuplicateSearch:
    """Finds the rows of duplicate numbers."""

    def __init__(self, judged: Mapping[str, Judged], excused: OffsetSet) -> None:
        """Search for the duplicates in `judged`; excused rows are ignored."""
        self.found: Places = {
            source: {number: [] for number in _first(result.doubled_ranges)}
            for source, result in judged.items()
            if result.doubled
        }
        self._excused = excused
        self._lock = threading.Lock()

    def add(self, _file: LoggedFile, rows: FileRows) -> None:
        """Search rows. Thread-safe."""
        sources = rows.batch.column("source").to_numpy(zero_copy_only=False)
        numbers = pc.fill_null(rows.batch.column("seq"), -1).to_numpy()
        counts = ~inside(self._excused, rows.partitions, rows.offsets)
        for source, places in self.found.items():
            matches = np.flatnonzero(counts & np.isin(numbers, list(places)) & (sources == source))
            with self._lock:
                for row in matches.tolist():
                    places[int(numbers[row])].append(Place(int(rows.partitions[row]), int(rows.offsets[row])))


def spans_at(places: Mapping[int, Iterable[Place]]) -> OffsetSet:
    """Return the places of one source as ranges."""
    every = {place for of_number in places.values() for place in of_number}
    offsets = dict[int, list[int]]()
    for place in every:
        offsets.setdefault(place.partition, []).append(place.offset)
    return spans_of({partition: np.array(values, np.int64) for partition, values in offsets.items()})


def described(places: Mapping[int, Iterable[Place]]) -> str:
    """Describe where the ticks of each number are."""
    return "; ".join(f"{number} at {' and '.join(map(str, sorted(where)))}" for number, where in places.items())


def _first(ranges: Iterable[OffsetRange]) -> list[int]:
    numbers: list[int] = []
    for span in ranges:
        numbers += range(span.start, min(span.end, span.start + MAX_NAMED - len(numbers)))
        if len(numbers) >= MAX_NAMED:
            break
    return numbers


class Excuses(NamedTuple):
    """Discrepancies in sequence numbers that are not the producer's fault.

    Attributes:
        missing: number of ticks missing because of the lake's first offset, known losses or faults of the pipeline
        doubled: number of surplus rows that the pipeline stored
        is_early: whether acknowledged ticks may not be in the tables yet

    """

    missing: int
    doubled: int
    is_early: bool


def producer_findings(judged: Mapping[str, Judged], excuses: Excuses, places: Places) -> tuple[list[Finding], list[str]]:
    """Return findings and notes on the producers. An excused discrepancy becomes a note. `places` are those of duplicates."""
    missing, doubled = (sum(getattr(result, name) for result in judged.values()) for name in ("missing", "doubled"))
    faults = [
        *(_missing(source, result) for source, result in judged.items() if result.missing and not excuses.is_early),
        *(_sent_twice(source, result, places.get(source, {})) for source, result in judged.items() if result.doubled),
    ]
    blamed = {"missing": missing > excuses.missing, "doubled": doubled > excuses.doubled}
    findings = [Finding(Code.PRODUCER, what, where) for kind, what, where in faults if blamed[kind]]
    notes = [f"{what}; the lake itself accounts for as many" for kind, what, _ in faults if not blamed[kind]]
    if missing and excuses.is_early:
        notes.append(f"{missing:,} acknowledged ticks are not in the tables (yet)")
    return findings, notes


def _missing(source: str, result: Judged) -> tuple[str, str, OffsetSet]:
    numbers = _numbers(result.missing_ranges)
    what = f"{result.missing:,} ticks of {source} were acknowledged and are not in finance_delta: seq {numbers}"
    return "missing", what, {}


def _sent_twice(source: str, result: Judged, places: Mapping[int, Sequence[Place]]) -> tuple[str, str, OffsetSet]:
    what = f"{result.doubled:,} ticks of {source} are in finance_delta more than once: seq {_numbers(result.doubled_ranges)}"
    return "doubled", f"{what}; {described(places)}" if places else what, spans_at(places)


def _numbers(ranges: Sequence[OffsetRange]) -> str:
    shown = [f"{span.start}-{span.end - 1}" if span.count > 1 else f"{span.start}" for span in ranges[:8]]
    return ", ".join(shown) + (" and more" if len(ranges) > len(shown) else "")
