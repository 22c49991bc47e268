"""The producers' sequence numbers: which of each source stand in the table of ticks, held against its ledger.

A tick that the broker acknowledged and no table has is the worst finding there is. One that is there without an acknowledgement
is fine: the acknowledgement was lost, or had not come when the run was killed. One that is there twice was sent twice.
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
    """One source's numbers: ranges are the first of them, counts are of all."""

    acknowledged: int
    missing: int
    missing_ranges: list[OffsetRange]
    doubled: int
    doubled_ranges: list[OffsetRange]
    unacknowledged: int


class NumberCounts:
    """How often each number of one source was seen.

    Up to the ledger's last number a byte each; beyond it the numbers themselves are kept: an absurd one costs no memory.
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
    def rows(self) -> int:
        """Numbers that were seen, doubled ones doubly."""
        return self._coverage.rows + sum(numbers.size for numbers in self._beyond)

    def judge(self, acknowledged: Iterable[Range]) -> Judged:
        """Hold the numbers against the ranges `[first, last]` that the broker acknowledged."""
        count, missing, ranges = 0, 0, list[OffsetRange]()
        for first, last in acknowledged:
            part = self._coverage.part(OffsetRange(first, last + 1))
            absent = self._coverage.times[part] == 0
            count += last + 1 - first
            missing += int(np.count_nonzero(absent)) + (last + 1 - first) - absent.size
            ranges += runs(absent, first)
        beyond, times = np.unique(np.concatenate([np.zeros(0, np.int64), *self._beyond]), return_counts=True)
        distinct = self._coverage.distinct + beyond.size
        doubled = runs(self._coverage.times > 1, 0) + [OffsetRange(int(one), int(one) + 1) for one in beyond[times > 1][:20]]
        return Judged(count, missing, ranges, self.rows - distinct, doubled, distinct - (count - missing))


class Sequences:
    """The numbers of the sources that have a ledger."""

    def __init__(self, ledgers: Ledgers, most: int, excused: OffsetSet) -> None:
        """Take the ledgers whose sources to look for; a byte is kept for each number below `most`. `excused` do not count."""
        self._ledgers = ledgers
        self._excused = excused
        self._of = {source: NumberCounts(0) for source in ledgers.unbegun}
        self._of |= {source: NumberCounts(min(account.end, most)) for source, account in ledgers.accounts.items()}

    def add(self, rows: FileRows) -> None:
        """Count the numbers of ticks; those of other sources, and rows without a number, are passed over."""
        if not self._of:
            return
        sources = rows.batch.column("source").dictionary_encode()
        which = pc.fill_null(sources.indices, -1).to_numpy()
        numbers = rows.batch.column("seq")
        numbered = np.asarray(pc.is_valid(numbers))
        if self._excused:
            numbered = numbered & ~inside(self._excused, rows.partitions, rows.offsets)
        values = pc.fill_null(numbers, -1).to_numpy()
        for index, source in enumerate(sources.dictionary.to_pylist()):
            if source in self._of:
                self._of[source].add(values[(which == index) & numbered])

    def judge(self) -> dict[str, Judged]:
        """Hold the numbers of each source against its ledger."""
        return {source: self._of[source].judge(account.acknowledged) for source, account in self._ledgers.accounts.items()}

    def wrong(self) -> list[str]:
        """Say what is wrong with ledgers, whatever the numbers; one without a line is in order if its run has sent nothing."""
        cut = [(source, rows) for source in self._ledgers.unbegun if (rows := self._of[source].rows)]
        unwritten = [
            f"the ledger of {source} has no whole line, finance_delta has {rows:,} of its ticks" for source, rows in cut
        ]
        return [*self._ledgers.wrong, *unwritten]


# Numbers of each source whose places are named.
NAMED = 8


class Place(NamedTuple):
    """A coordinate of the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """As `make recover` takes it."""
        return f"{self.partition}:{self.offset}"


# By source, then by number.
Places = dict[str, dict[int, list[Place]]]


class DuplicateSearch:
    """Looks for the rows of some numbers."""

    def __init__(self, judged: Mapping[str, Judged], excused: OffsetSet) -> None:
        """Take the sources; rows that are excused are passed over."""
        self.found: Places = {
            source: {number: [] for number in _first(one.doubled_ranges)} for source, one in judged.items() if one.doubled
        }
        self._excused = excused
        self._lock = threading.Lock()

    def add(self, _file: LoggedFile, rows: FileRows) -> None:
        """Look at rows; may be called by several threads."""
        sources = rows.batch.column("source").to_numpy(zero_copy_only=False)
        numbers = pc.fill_null(rows.batch.column("seq"), -1).to_numpy()
        counts = ~inside(self._excused, rows.partitions, rows.offsets)
        for source, wanted in self.found.items():
            mine = np.flatnonzero(counts & np.isin(numbers, list(wanted)) & (sources == source))
            with self._lock:
                for row in mine.tolist():
                    wanted[int(numbers[row])].append(Place(int(rows.partitions[row]), int(rows.offsets[row])))


def spans_at(places: Mapping[int, Iterable[Place]]) -> OffsetSet:
    """Give the places of one source as ranges."""
    every = {place for one in places.values() for place in one}
    partitions = {place.partition for place in every}
    return spans_of(
        {one: np.array([place.offset for place in every if place.partition == one], np.int64) for one in partitions}
    )


def described(places: Mapping[int, Iterable[Place]]) -> str:
    """Tell where the ticks of each number are."""
    return "; ".join(f"{number} at {' and '.join(map(str, sorted(found)))}" for number, found in places.items())


def _first(ranges: Iterable[OffsetRange]) -> list[int]:
    numbers: list[int] = []
    for span in ranges:
        numbers += range(span.start, min(span.end, span.start + NAMED - len(numbers)))
        if len(numbers) >= NAMED:
            break
    return numbers


class Excuses(NamedTuple):
    """What can be wrong with the numbers of a source through no fault of its producer.

    Attributes:
        missing: ticks that the lake does not have by its birth, its known losses or the pipeline's own faults
        doubled: surplus rows of the pipeline
        is_early: whether the tables may not have all yet that was acknowledged

    """

    missing: int
    doubled: int
    is_early: bool


def producer_findings(judged: Mapping[str, Judged], excuses: Excuses, places: Places) -> tuple[list[Finding], list[str]]:
    """Judge the producers. What has an excuse is a note, not a finding. `places` are those of numbers that are doubled."""
    missing, doubled = (sum(getattr(one, name) for one in judged.values()) for name in ("missing", "doubled"))
    faults = [
        *(_unheard(source, one) for source, one in judged.items() if one.missing and not excuses.is_early),
        *(_sent_twice(source, one, places.get(source, {})) for source, one in judged.items() if one.doubled),
    ]
    blamed = {"missing": missing > excuses.missing, "doubled": doubled > excuses.doubled}
    findings = [Finding(Code.PRODUCER, what, where) for kind, what, where in faults if blamed[kind]]
    notes = [f"{what}; the lake itself explains as many" for kind, what, _ in faults if not blamed[kind]]
    if missing and excuses.is_early:
        notes.append(f"{missing:,} acknowledged ticks are not in the tables (yet)")
    return findings, notes


def _unheard(source: str, one: Judged) -> tuple[str, str, OffsetSet]:
    what = (
        f"{one.missing:,} ticks of {source} were acknowledged and are not in finance_delta: seq {_numbers(one.missing_ranges)}"
    )
    return "missing", what, {}


def _sent_twice(source: str, one: Judged, places: Mapping[int, Sequence[Place]]) -> tuple[str, str, OffsetSet]:
    what = f"{one.doubled:,} ticks of {source} are in finance_delta more than once: seq {_numbers(one.doubled_ranges)}"
    return "doubled", f"{what}; {described(places)}" if places else what, spans_at(places)


def _numbers(ranges: Sequence[OffsetRange]) -> str:
    shown = [f"{one.start}-{one.end - 1}" if one.count > 1 else f"{one.start}" for one in ranges[:8]]
    return ", ".join(shown) + (" and more" if len(ranges) > len(shown) else "")
