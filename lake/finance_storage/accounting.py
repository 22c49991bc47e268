"""Check that the two tables and the broker belong together. Pure functions, for guard, repairs, verify and status.

The metadata of each table's newest commit records the position up to which the table is complete, and its row count and digest.
A batch is committed to the quarantine first, then to ticks. So a crash leaves both at the same position, or the quarantine one
batch ahead. Any other state means that another writer removed, restored or added rows, or that the broker is a different one.
Spark and Delta do not notice it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from finance_kafka.offsets import OffsetRange
from finance_storage import offset_set
from finance_storage.commit_metadata import Total, in_both, is_untouched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.lake_identity import Identity

RECOVER = "`make recover` repairs it from Kafka"
ELSEWHERE = "set KAFKA_BOOTSTRAP and KAFKA_TOPIC back, or start another lake with DATA_DIR or `make reset`"
ADOPT = "`make recover ADOPT=1` takes the lake over to the new topic"


class Inconsistency(NamedTuple):
    """A mismatch that must stop the job, what would happen if it went on, and the remedy."""

    what: str
    consequence: str
    remedy: str = RECOVER

    def __str__(self) -> str:
        """Format each part as a sentence."""
        return f"{self.what}. If the job went on, {self.consequence}. To fix it: {self.remedy}."


@dataclass(frozen=True)
class Table:
    """The state of a table according to its log.

    Attributes:
        rows: number of rows in its live files
        metadata: metadata of its newest commit that has any
        identity: identity of the lake that it belongs to; None in lakes made before version 0.2
        rows_ahead: for the quarantine, number of rows of a batch that ticks does not contain yet
        schema_faults: reasons why the job cannot write to its columns

    """

    rows: int
    metadata: CommitMetadata | None
    identity: Identity | None = None
    rows_ahead: int = 0
    schema_faults: tuple[Inconsistency, ...] = ()

    @property
    def total(self) -> Total:
        """The row count and digest that it must have."""
        return self.metadata.total if self.metadata else Total()

    @property
    def is_empty(self) -> bool:
        """Whether it has never stored anything and no driver has opened it."""
        return is_untouched(self.rows, self.metadata)


@dataclass(frozen=True)
class State:
    """Everything that a start of the job depends on; None for parts that do not exist. `broker` has the lake's partitions."""

    identity: Identity | None
    ticks: Table | None
    quarantine: Table | None
    broker: TopicDescription
    damaged: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        """Whether there is no lake yet, or its creation was interrupted."""
        return all(table is None or table.is_empty for table in (self.ticks, self.quarantine))

    @property
    def position(self) -> Offsets:
        """The next offset that the lake needs, by Kafka partition, according to the ticks table."""
        if self.ticks and self.ticks.metadata:
            return self.ticks.metadata.position
        return dict(self.identity.first) if self.identity else {}


def ahead(ticks: Offsets, quarantine: Offsets, identity: Identity) -> dict[int, OffsetRange]:
    """Return the offsets of a batch that only the quarantine contains yet, from ticks' position to its own; empty if none."""
    ranges = {
        partition: OffsetRange(ticks.get(partition, identity.start(partition)), end) for partition, end in quarantine.items()
    }
    return {partition: span for partition, span in ranges.items() if span.count > 0}


def still_to_come(position: Offsets, broker: TopicDescription) -> dict[int, OffsetRange]:
    """Return the offsets in the topic that tables at `position` lack, by Kafka partition; empty if the tables are complete.

    Records that Kafka removed before the lake stored them are lost, so they are left out.
    """
    starts = {p: max(position.get(p, 0), broker.first.get(p, 0)) for p in broker.end}
    return {p: OffsetRange(start, broker.end[p]) for p, start in starts.items() if start < broker.end[p]}


def other_topic(identity: Identity, topic: str) -> Iterator[Inconsistency]:
    """Yield an inconsistency if the configured topic is not the one that the lake holds."""
    if topic != identity.topic:
        yield Inconsistency(
            f"KAFKA_TOPIC is {topic}, the lake holds topic {identity.topic}",
            "records of one topic would be mistaken for records of another",
            ELSEWHERE,
        )


def topic_mismatches(identity: Identity, broker: TopicDescription) -> Iterator[Inconsistency]:
    """Yield an inconsistency if the cluster or the topic is not the one that the lake holds."""
    held = identity.current
    if broker.cluster != held.cluster:
        yield Inconsistency(
            f"the broker belongs to Kafka cluster {broker.cluster}, the lake to {held.cluster}",
            "offsets of one cluster would be mistaken for those of another, and records lost and duplicated",
            f"{ELSEWHERE}; or {ADOPT}",
        )
    elif broker.topic_id != held.topic_id:
        yield Inconsistency(
            f"topic {identity.topic} was deleted and created again: its id is {broker.topic_id}, "
            f"the lake's topic has id {held.topic_id}",
            "the new topic's records below the lake's position would be lost",
            f"{ELSEWHERE}; or {ADOPT}",
        )


def find_inconsistencies(state: State) -> list[Inconsistency]:
    """Return the inconsistencies, the most serious first; empty if the job may start."""
    if state.damaged:
        return [Inconsistency(what, "stored rows would be lost silently") for what in state.damaged]
    if state.identity is None:
        return [] if state.is_new else [_nameless()]
    lakes = (table.identity if table else None for table in (state.ticks, state.quarantine))
    if mismatches := [*tables_of_two_lakes(*lakes), *topic_mismatches(state.identity, state.broker)]:
        return mismatches
    return [*_schemas(state), *_retention(state), *([] if state.is_new else _tables(state, state.identity))]


def _nameless() -> Inconsistency:
    return Inconsistency(
        "the tables have rows and do not say which topic they hold",
        "it would be unknown which topic their offsets belong to",
    )


def tables_of_two_lakes(ticks: Identity | None, quarantine: Identity | None) -> Iterator[Inconsistency]:
    """Yield an inconsistency if the tables belong to different lakes; None means that a table has no identity."""
    if ticks and quarantine and ticks.lake != quarantine.lake:
        yield Inconsistency(
            f"finance_delta belongs to lake {ticks.lake}, finance_quarantine to {quarantine.lake}",
            "records would be missing or duplicated silently",
            "put the right table back; or move finance_quarantine out of the lake's folder and run `make recover`",
        )


def _schemas(state: State) -> Iterator[Inconsistency]:
    for table in (state.ticks, state.quarantine):
        yield from table.schema_faults if table else ()


def _retention(state: State) -> Iterator[Inconsistency]:
    for partition, first in sorted(state.broker.first.items()):
        needed = _at(state, state.position, partition)
        if first > needed:
            yield Inconsistency(
                f"Kafka has removed offsets {needed} to {first - 1} of partition {partition} before the lake stored them",
                f"{first - needed} records would be missing silently",
                "`make recover` marks them as lost and continues after them",
            )
        if state.broker.end[partition] < needed:
            end = state.broker.end[partition]
            yield Inconsistency(
                f"partition {partition} ends at offset {end}, the lake holds it up to {needed}: the broker has lost records",
                f"new records would get offsets that the lake already has, and {needed - end} of them would be lost",
                "restore data/kafka, or start another lake with DATA_DIR or `make reset`; or delete the topic and create it "
                f"again: {ADOPT}",
            )


def _tables(state: State, identity: Identity) -> Iterator[Inconsistency]:
    if state.ticks is None or state.quarantine is None:
        present, missing = ("finance_quarantine", "finance_delta")[:: 1 if state.ticks is None else -1]
        yield Inconsistency(f"the table {missing} is missing, {present} is not", "all of its rows would be missing silently")
        return
    for name, table in (("finance_delta", state.ticks), ("finance_quarantine", state.quarantine)):
        yield from _rows(name, table)
    yield from _sums(state.ticks, state.quarantine, identity.spanned(state.position))


def _rows(name: str, table: Table) -> Iterator[Inconsistency]:
    missing = table.total.rows - table.rows
    if missing:
        change = f"{missing} were removed" if missing > 0 else f"{-missing} were added"
        yield Inconsistency(
            f"{name} has {table.rows} rows, the job has committed {table.total.rows}: {change} by another writer "
            "(RESTORE, DELETE or an append)",
            f"{abs(missing)} rows would stay {'lost' if missing > 0 else 'duplicated or foreign'} unnoticed",
        )


def _sums(ticks: Table, quarantine: Table, spanned: int) -> Iterator[Inconsistency]:
    counted_twice = quarantine.rows_ahead + offset_set.count(in_both(ticks.metadata, quarantine.metadata))
    accounted = ticks.total.rows + quarantine.total.rows + ticks.total.holes - counted_twice
    if accounted != spanned:
        yield Inconsistency(
            f"the commits of both tables add up to {accounted} records, their offsets to {spanned}",
            f"{abs(accounted - spanned)} records would stay lost or duplicated unnoticed",
        )


def _at(state: State, offsets: Offsets, partition: int) -> int:
    return offsets.get(partition, state.identity.start(partition) if state.identity else 0)
