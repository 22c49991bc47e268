"""Check offsets: compare the counts with the expected range, and both with the topic. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_kafka.offsets import OffsetRange
from finance_storage.accounting import still_to_come
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.coverage import MANY, Coverage, first_of, place, runs
from finance_verify.verdict import Code, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.lake_identity import Identity, Loss
    from finance_storage.offset_set import Mask, OffsetSet
    from finance_verify.scan import Flaw, Scope, Sum

FOLDERS = {TICKS: "finance_delta", QUARANTINE: "finance_quarantine"}
# How far the range may exceed the number of rows before counting its offsets one by one would need too much memory.
MAX_MISSING = 1 << 26


def scope_of(identity: Identity, position: Offsets) -> Scope:
    """Return the range that both tables must hold together, by partition: from the lake's first offset to the position."""
    partitions = sorted({*identity.first, *position})
    starts = {partition: identity.start(partition) for partition in partitions}
    return {partition: OffsetRange(start, max(start, position.get(partition, start))) for partition, start in starts.items()}


def ends_of(scope: Scope) -> Offsets:
    """Return the end of each partition's range."""
    return {partition: span.end for partition, span in scope.items()}


def lost_in(losses: Sequence[Loss]) -> int:
    """Return the number of offsets that are known to be lost."""
    return sum(max(0, loss.count) for loss in losses)


def too_wide(scope: Scope, rows: int, losses: Sequence[Loss]) -> Finding | None:
    """Return a finding if the range is too wide to count its offsets one by one, compared to the number of rows."""
    span = sum(offsets.count for offsets in scope.values())
    if span <= rows + lost_in(losses) + MAX_MISSING:
        return None
    what = f"the tables should hold {span:,} offsets and have {rows:,} rows: too many are missing to list them"
    return Finding(Code.GAP, what, {partition: [offsets] for partition, offsets in scope.items() if offsets.count})


# ---- offsets ------------------------------------------------------------------------------------------------------------


class Counted(NamedTuple):
    """The result of counting offsets.

    Attributes:
        findings: gaps and duplicates
        lost: number of offsets in neither table, without known losses, holes and unreadable offsets
        doubled: number of surplus rows
        unreadable: number of missing offsets that a damaged file may have contained
        holes: number of missing offsets for which Kafka had no record

    """

    findings: list[Finding]
    lost: int
    doubled: int
    unreadable: int
    holes: int


def release(moving: OffsetSet, ticks: Mapping[int, Coverage], quarantine: Mapping[int, Coverage]) -> int:
    """Count rows that a redrive has put in both tables once, as ticks; return their number."""
    released = 0
    for partition, ranges in moving.items():
        if partition not in ticks:
            continue
        for span in ranges:
            part = ticks[partition].part(span)
            both = (ticks[partition].times[part] > 0) & (quarantine[partition].times[part] > 0)
            quarantine[partition].times[part] -= both
            quarantine[partition].rows -= (count := int(np.count_nonzero(both)))
            released += count
    return released


def count_offsets(ticks: Sum, quarantine: Sum, losses: Sequence[Loss], flaws: Sequence[Flaw], holes: int) -> Counted:
    """Check that each offset of the range is in exactly one of the tables, once."""
    missing, unreadable = _missing(ticks, quarantine, losses, flaws)
    lost, unread = _count(missing), _count(unreadable)
    findings = list(_doubles(ticks, quarantine))
    if lost > holes:
        without_record = f"; Kafka had no record for {holes:,} of them" if holes else ""
        findings.append(Finding(Code.GAP, f"{lost:,} offsets are in neither table{without_record}", _places(missing, ticks)))
    if unread > (damaged := _rows_of(flaws)):
        what = f"{unread - damaged:,} more offsets are in neither table than the damaged files had rows"
        findings.append(Finding(Code.GAP, what, _places(unreadable, ticks)))
    findings += _outside(ticks, quarantine)
    surplus = sum(_surplus(ticks.coverage[partition], quarantine.coverage[partition]) for partition in ticks.coverage)
    doubled = surplus + ticks.strange.count + quarantine.strange.count
    return Counted(findings, max(0, lost - holes) + max(0, unread - damaged), doubled, min(unread, damaged), min(lost, holes))


def _missing(
    ticks: Sum, quarantine: Sum, losses: Sequence[Loss], flaws: Sequence[Flaw]
) -> tuple[dict[int, Mask], dict[int, Mask]]:
    missing: dict[int, Mask] = {}
    unreadable: dict[int, Mask] = {}
    for partition, coverage in ticks.coverage.items():
        absent = (coverage.times | quarantine.coverage[partition].times) == 0
        for loss in losses:
            if loss.partition == partition:
                absent[coverage.part(OffsetRange(loss.start, loss.end))] = False
        unread = np.zeros(absent.size if flaws else 0, dtype=bool)
        for flaw in flaws:
            for span in flaw.file.places.get(partition, [] if flaw.file.places else [coverage.span]):
                part = coverage.part(span)
                unread[part] |= absent[part]
        if flaws:
            absent &= ~unread
        missing[partition], unreadable[partition] = absent, unread
    return missing, unreadable


def _rows_of(flaws: Sequence[Flaw]) -> int:
    # A file without a row count in the log may have had any number of rows.
    return sum(MAX_MISSING if flaw.file.rows is None else flaw.file.rows for flaw in flaws)


def _count(masks: Mapping[int, Mask]) -> int:
    return sum(int(np.count_nonzero(mask)) for mask in masks.values())


def _places(masks: Mapping[int, Mask], ticks: Sum) -> OffsetSet:
    return first_of({partition: runs(mask, ticks.coverage[partition].span.start) for partition, mask in masks.items()})


def _surplus(ticks: Coverage, quarantine: Coverage) -> int:
    return ticks.rows + quarantine.rows - int(np.count_nonzero(ticks.times | quarantine.times))


def _doubles(ticks: Sum, quarantine: Sum) -> Iterator[Finding]:
    times = {
        partition: (coverage.times, quarantine.coverage[partition].times) for partition, coverage in ticks.coverage.items()
    }
    kinds: dict[str, dict[int, Mask]] = {
        "are in both tables": {partition: (good > 0) & (bad > 0) for partition, (good, bad) in times.items()},
        "are in finance_delta more than once": {partition: good >= MANY for partition, (good, _) in times.items()},
        "are in finance_quarantine more than once": {partition: bad >= MANY for partition, (_, bad) in times.items()},
    }
    for what, masks in kinds.items():
        if count := _count(masks):
            yield Finding(Code.DUPLICATE, f"{count:,} offsets {what}", _places(masks, ticks))


def _outside(ticks: Sum, quarantine: Sum) -> Iterator[Finding]:
    for name, table in ((TICKS, ticks), (QUARANTINE, quarantine)):
        if count := table.strange.count:
            what = f"{count:,} rows of {FOLDERS[name]} are at offsets that the lake does not hold (yet)"
            yield Finding(Code.DUPLICATE, what, table.strange.places())


# ---- the topic ----------------------------------------------------------------------------------------------------------


def topic_against(scope: Scope, before: TopicDescription, now: TopicDescription) -> Iterator[Finding]:
    """Compare the position with the topic before the tables were opened (`before`) and now."""
    positions = ends_of(scope)
    to_come = still_to_come(positions, before)
    for partition in sorted({*scope, *before.end}):
        position, first = positions.get(partition, 0), before.first.get(partition, 0)
        if position > now.end.get(partition, 0):
            what = (
                f"the topic ends at offset {now.end.get(partition, 0)}, the tables hold {position}: the broker has lost records"
            )
            yield Finding(Code.IDENTITY, what, place(partition, [OffsetRange(now.end.get(partition, 0), position)]))
        elif first > position:
            what = f"Kafka has removed {first - position:,} records before the lake stored them"
            yield Finding(Code.GAP, what, place(partition, [OffsetRange(position, first)]))
        if partition in to_come:
            span = to_come[partition]
            yield Finding(Code.BEHIND, f"{span.count:,} records are still to come", place(partition, [span]))


def behind(findings: Sequence[Finding]) -> int:
    """Return the number of records that are still to come."""
    late = [finding.places for finding in findings if finding.code is Code.BEHIND]
    return sum(span.count for places in late for ranges in places.values() for span in ranges)


def still_there(scope: Scope, broker: TopicDescription) -> Scope:
    """Return the part of the range that the topic still has, by partition."""
    return {
        partition: OffsetRange(max(span.start, broker.first[partition]), min(span.end, broker.end[partition]))
        for partition, span in scope.items()
        if partition in broker.end
    }
