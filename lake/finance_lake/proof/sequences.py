"""Sequences: which numbers of each source that has a ledger stand in the table of ticks, and how the ledger judges them.

The producer's own verdict. A tick that the broker acknowledged and no table has is the worst that can be told of a lake. One
that stands there without an acknowledgement is fine: the answer was lost, or had not come when the run was killed. One that
stands there twice was sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow.compute as pc

from finance_lake.proof.coverage import Coverage, runs
from finance_lake.state.record import OffsetRange
from finance_lake.state.spans import inside

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finance_lake.proof.content import Rows
    from finance_lake.proof.ledger import Ledgers, Range
    from finance_lake.state.spans import Offsets64, Spans


class Judged(NamedTuple):
    """One source's numbers: ranges are the first of them, counts are of all."""

    acknowledged: int
    missing: int
    missing_ranges: list[OffsetRange]
    doubled: int
    doubled_ranges: list[OffsetRange]
    unacknowledged: int


class Sequence:
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

    def __init__(self, ledgers: Ledgers, most: int, excused: Spans) -> None:
        """Take the ledgers whose sources to look for; a byte is kept for each number below `most`. `excused` do not count."""
        self._ledgers = ledgers
        self._excused = excused
        self._of = {source: Sequence(0) for source in ledgers.unbegun}
        self._of |= {source: Sequence(min(account.end, most)) for source, account in ledgers.accounts.items()}

    def add(self, rows: Rows) -> None:
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
        told = [f"the ledger of {source} has no whole line, finance_delta has {rows:,} of its ticks" for source, rows in cut]
        return [*self._ledgers.wrong, *told]
