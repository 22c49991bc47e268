"""The accounting: whether the two tables and the broker belong together. Pure; guard and recover ask it.

Each table's newest commit says up to where it is complete and what it holds. A batch is committed to the quarantine first, then
to ticks; so a crash leaves both at the same position, or the quarantine one batch ahead. Everything else means that rows have
been removed, restored or added by somebody else, or that the broker is another one. Spark and Delta do not notice it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from finance_kafka.offsets import OffsetRange
from finance_storage import offset_set
from finance_storage.commit_metadata import Total, half_redriven, is_untouched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.lake_identity import Identity

RECOVER = "`make recover` repairs it from Kafka"
ELSEWHERE = "set KAFKA_BOOTSTRAP and KAFKA_TOPIC back, or begin another lake with DATA_DIR or `make reset`"


class Inconsistency(NamedTuple):
    """What does not belong together, the consequence of going on, and the remedy."""

    what: str
    consequence: str
    remedy: str = RECOVER

    def __str__(self) -> str:
        """One sentence each."""
        return f"{self.what}. Going on, {self.consequence}. To mend it: {self.remedy}."


@dataclass(frozen=True)
class Table:
    """What a table's log says.

    Attributes:
        rows: of its live files
        record: of its newest commit that has one
        identity: of the lake that it belongs to; None in lakes made before version 0.2
        rows_ahead: of the quarantine, those of a batch that ticks do not have yet
        schema_faults: what the job cannot write to its columns for

    """

    rows: int
    record: CommitMetadata | None
    identity: Identity | None = None
    rows_ahead: int = 0
    schema_faults: tuple[Inconsistency, ...] = ()

    @property
    def total(self) -> Total:
        """What it must hold."""
        return self.record.total if self.record else Total()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has ever been stored in it, and no driver has opened it."""
        return is_untouched(self.rows, self.record)


@dataclass(frozen=True)
class State:
    """All that a start depends on; None for what is not there."""

    identity: Identity | None
    ticks: Table | None
    quarantine: Table | None
    broker: TopicDescription
    damaged: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether there is no lake yet, or one that was interrupted while it was created."""
        return all(table is None or table.is_empty for table in (self.ticks, self.quarantine))

    @property
    def position(self) -> Offsets:
        """The next offset that the lake needs, by Kafka partition, as the table of ticks has it."""
        if self.ticks and self.ticks.record:
            return self.ticks.record.position
        return dict(self.identity.first) if self.identity else {}


def ahead(ticks: Offsets, quarantine: Offsets, identity: Identity) -> dict[int, OffsetRange]:
    """Give the offsets of a batch that only the quarantine has yet: from ticks' position to its own; empty if there is none."""
    ranges = {
        partition: OffsetRange(ticks.get(partition, identity.start(partition)), end) for partition, end in quarantine.items()
    }
    return {partition: span for partition, span in ranges.items() if span.count > 0}


def still_to_come(position: Offsets, broker: TopicDescription) -> dict[int, OffsetRange]:
    """Give the offsets that the topic has and tables at `position` do not, by Kafka partition; empty if they are complete.

    Records that Kafka removed before the lake had them are lost, not still to come.
    """
    starts = {p: max(position.get(p, 0), broker.first.get(p, 0)) for p in broker.end}
    return {p: OffsetRange(start, broker.end[p]) for p, start in starts.items() if start < broker.end[p]}


def other_topic(identity: Identity, topic: str) -> Iterator[Inconsistency]:
    """Whether the topic that is asked for is the one that the lake holds."""
    if topic != identity.topic:
        yield Inconsistency(
            f"KAFKA_TOPIC is {topic}, the lake holds topic {identity.topic}",
            "records of one topic would be taken for those of another",
            ELSEWHERE,
        )


def topic_mismatches(identity: Identity, broker: TopicDescription) -> Iterator[Inconsistency]:
    """Whether the broker is the one, and the topic the one, that the lake was created with."""
    if broker.cluster != identity.cluster:
        yield Inconsistency(
            f"the broker belongs to Kafka cluster {broker.cluster}, the lake to {identity.cluster}",
            "offsets of one cluster would be taken for those of another: records lost and doubled",
            ELSEWHERE,
        )
    elif broker.topic_id != identity.topic_id:
        yield Inconsistency(
            f"topic {identity.topic} was deleted and made again: its id is {broker.topic_id}, "
            f"that of the lake's is {identity.topic_id}",
            "the new topic's records below the lake's position would be lost",
            ELSEWHERE,
        )


def find_inconsistencies(state: State) -> list[Inconsistency]:
    """Return what does not belong together, the gravest first; empty if the job may start."""
    if state.damaged:
        return [Inconsistency(what, "rows that were acknowledged would vanish in silence") for what in state.damaged]
    if state.identity is None:
        return [] if state.is_new else [_nameless()]
    lakes = (table.identity if table else None for table in (state.ticks, state.quarantine))
    if found := [*tables_of_two_lakes(*lakes), *topic_mismatches(state.identity, state.broker)]:
        return found
    return [*_schemas(state), *_retention(state), *([] if state.is_new else _tables(state, state.identity))]


def _nameless() -> Inconsistency:
    return Inconsistency(
        "the tables have rows and do not say which topic they hold", "nobody could tell whose offsets they are"
    )


def tables_of_two_lakes(ticks: Identity | None, quarantine: Identity | None) -> Iterator[Inconsistency]:
    """Whether both tables are of one lake; None stands for a table that does not say."""
    if ticks and quarantine and ticks.lake != quarantine.lake:
        yield Inconsistency(
            f"finance_delta belongs to lake {ticks.lake}, finance_quarantine to {quarantine.lake}",
            "records would be missing or doubled in silence",
            "put back the table that belongs there; or move finance_quarantine away, then `make recover`",
        )


def _schemas(state: State) -> Iterator[Inconsistency]:
    for table in (state.ticks, state.quarantine):
        yield from table.schema_faults if table else ()


def _retention(state: State) -> Iterator[Inconsistency]:
    for partition, first in sorted(state.broker.first.items()):
        needed = _at(state, state.position, partition)
        if first > needed:
            yield Inconsistency(
                f"Kafka has removed offsets {needed} to {first - 1} of partition {partition} before the lake had them",
                f"{first - needed} records would be missing in silence",
                "`make recover` notes them as lost and goes on after them",
            )
        if state.broker.end[partition] < needed:
            end = state.broker.end[partition]
            yield Inconsistency(
                f"partition {partition} ends at offset {end}, the lake holds it up to {needed}: the broker has lost records",
                f"new records would get offsets that the lake has already, {needed - end} of them lost",
                "restore data/kafka, or begin another lake with DATA_DIR or `make reset`",
            )


def _tables(state: State, identity: Identity) -> Iterator[Inconsistency]:
    if state.ticks is None or state.quarantine is None:
        here, gone = ("finance_quarantine", "finance_delta")[:: 1 if state.ticks is None else -1]
        yield Inconsistency(f"the table {gone} is missing, {here} is not", "all that it held would be missing in silence")
        return
    for name, table in (("finance_delta", state.ticks), ("finance_quarantine", state.quarantine)):
        yield from _rows(name, table)
    yield from _sums(state.ticks, state.quarantine, identity.spanned(state.position))


def _rows(name: str, table: Table) -> Iterator[Inconsistency]:
    missing = table.total.rows - table.rows
    if missing:
        change = f"{missing} were removed" if missing > 0 else f"{-missing} were added"
        yield Inconsistency(
            f"{name} has {table.rows} rows, the job has committed {table.total.rows}: {change} by somebody else "
            "(RESTORE, DELETE or an append)",
            f"{abs(missing)} rows would stay {'lost' if missing > 0 else 'doubled or foreign'} in silence",
        )


def _sums(ticks: Table, quarantine: Table, spanned: int) -> Iterator[Inconsistency]:
    counted_twice = quarantine.rows_ahead + offset_set.count(half_redriven(ticks.record, quarantine.record))
    held = ticks.total.rows + quarantine.total.rows + ticks.total.holes - counted_twice
    if held != spanned:
        yield Inconsistency(
            f"the commits of both tables add up to {held} records, their offsets to {spanned}",
            f"{abs(held - spanned)} records would stay lost or doubled in silence",
        )


def _at(state: State, offsets: Offsets, partition: int) -> int:
    return offsets.get(partition, state.identity.start(partition) if state.identity else 0)
