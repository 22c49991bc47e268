"""The accounting: whether identity, checkpoint, tables and broker belong together. Pure; guard and recover ask it.

Between two batches the tables stand where the checkpoint says that the next batch begins. A crash leaves one of three other
states, all of them in order: planned and not stored, stored in the quarantine only, stored and not closed. Every other
combination means that something has been removed, restored or added behind the job's back. Spark and Delta do not notice:
a batch id that the table has seen already is skipped, and its records are lost; an unknown query begins again at the first
offset, and all is doubled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from finance_lake.state.record import Total

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.state.identity import Identity
    from finance_lake.state.record import CommitRecord, OffsetRange, Offsets

RECOVER = "`make recover` repairs it from the tables"
ELSEWHERE = "set KAFKA_BOOTSTRAP and KAFKA_TOPIC back, or begin another lake with DATA_DIR or `make reset`"


class Disagreement(NamedTuple):
    """What does not belong together, what would come of going on, and how to mend it."""

    what: str
    otherwise: str
    mend: str = RECOVER

    def __str__(self) -> str:
        """One sentence each."""
        return f"{self.what}. Going on, {self.otherwise}. To mend it: {self.mend}."


@dataclass(frozen=True)
class Query:
    """What the checkpoint says.

    Attributes:
        id: of the query
        planned: newest batch in the write-ahead log, None before the first
        done: newest batch that is closed, None before the first
        span: what the newest planned batch spans; before the first one `[start, start)`

    """

    id: str
    planned: int | None
    done: int | None
    span: dict[int, OffsetRange]


@dataclass(frozen=True)
class Table:
    """What a table's log says; `transaction` is the newest batch of the checkpoint's query."""

    rows: int
    record: CommitRecord | None
    transaction: int | None

    @property
    def total(self) -> Total:
        """What it must hold."""
        return self.record.total if self.record else Total()


@dataclass(frozen=True)
class Broker:
    """Who answers, and what it has of the topic."""

    cluster: str
    topic_id: str
    first: Offsets
    end: Offsets


@dataclass(frozen=True)
class State:
    """All of a lake's state that a start depends on; None for what is not there."""

    contract: int
    identity: Identity | None
    query: Query | None
    ticks: Table | None
    quarantine: Table | None
    broker: Broker
    damaged: tuple[str, ...] = ()

    @property
    def is_unborn(self) -> bool:
        """Whether nothing has ever been stored: the lake may be born, or born anew if it died in birth."""
        if any(table is not None and (table.record is not None or table.rows) for table in (self.ticks, self.quarantine)):
            return False
        if self.query is None or self.query.planned is not None:
            return self.query is None
        return self.identity is None or all(
            offsets.start == self.identity.start(partition) for partition, offsets in self.query.span.items()
        )

    @property
    def position(self) -> Offsets:
        """The next offset that the lake needs, by Kafka partition, as the table of ticks has it."""
        if self.ticks and self.ticks.record:
            return self.ticks.record.position
        return dict(self.identity.first) if self.identity else {}


def identities(identity: Identity, broker: Broker) -> Iterator[Disagreement]:
    """Whether the broker is the one, and the topic the one, that the lake was born with."""
    if broker.cluster != identity.cluster:
        yield Disagreement(
            f"the broker belongs to Kafka cluster {broker.cluster}, the lake to {identity.cluster}",
            "offsets of one cluster would be taken for those of another: records lost and doubled",
            ELSEWHERE,
        )
    elif broker.topic_id != identity.topic_id:
        yield Disagreement(
            f"topic {identity.topic} was deleted and made again: its id is {broker.topic_id}, "
            f"that of the lake's is {identity.topic_id}",
            "the new topic's records below the lake's position would be lost",
            ELSEWHERE,
        )


def disagreements(state: State) -> list[Disagreement]:
    """Return what does not belong together, the gravest first; empty if the job may start."""
    if state.damaged:
        return [Disagreement(what, "rows that were acknowledged would vanish in silence") for what in state.damaged]
    if state.identity is None:
        return [] if state.is_unborn else [_nameless()]
    return list(identities(state.identity, state.broker)) or [*_retention(state), *_parts(state, state.identity)]


def _parts(state: State, identity: Identity) -> Iterator[Disagreement]:
    if state.is_unborn:
        return
    if state.query is None:
        what = "the checkpoint is missing, the table is not"
        yield Disagreement(what, "all that the topic still has would be stored a second time")
    elif state.query.id != identity.query:
        what = f"the checkpoint belongs to query {state.query.id}, lake.json names {identity.query}"
        yield Disagreement(what, "batches would be skipped or stored twice")
    else:
        yield from _tables(state, state.query)
        yield from _counts(state, identity)


def _nameless() -> Disagreement:
    return Disagreement("lake.json is missing, and there is a lake", "nobody could tell whose offsets the tables hold")


def _retention(state: State) -> Iterator[Disagreement]:
    for partition, first in sorted(state.broker.first.items()):
        needed = _at(state, state.position, partition)
        if first > needed:
            yield Disagreement(
                f"Kafka has removed offsets {needed} to {first - 1} of partition {partition} before the lake had them",
                f"{first - needed} records would be missing in silence",
                "`make recover` notes them as lost and goes on after them",
            )
        if state.broker.end[partition] < needed:
            end = state.broker.end[partition]
            yield Disagreement(
                f"partition {partition} ends at offset {end}, the lake holds it up to {needed}: the broker has lost records",
                f"new records would get offsets that the lake has already, {needed - end} of them lost",
                "restore data/kafka, or begin another lake with DATA_DIR or `make reset`",
            )


def _tables(state: State, query: Query) -> Iterator[Disagreement]:
    if state.ticks is None or state.quarantine is None:
        name = "finance_delta" if state.ticks is None else "finance_quarantine"
        yield Disagreement(
            f"the table {name} is missing, the checkpoint is not", "all that it held would be missing in silence"
        )
        return
    planned, done = (-1 if batch is None else batch for batch in (query.planned, query.done))
    if done not in (planned, planned - 1):
        what = f"the checkpoint has closed batch {done} and planned {planned}: files of it were removed"
        yield Disagreement(what, "batches would be skipped or stored twice")
        return
    start = {partition: offsets.start for partition, offsets in query.span.items()}
    end = {partition: offsets.end for partition, offsets in query.span.items()}
    stored = state.ticks.transaction if state.ticks.transaction is not None else -1
    allowed = [(planned, end)] if done == planned else [(planned, end), (planned - 1, start)]
    if not any(stored == batch and _same(state, where) for batch, where in allowed):
        yield _displaced(state, stored, *allowed[-1])
    yield from _half_committed(state, planned, stored)


def _displaced(state: State, stored: int, batch: int, wanted: Offsets) -> Disagreement:
    partitions = sorted({*wanted, *state.position})
    have = {partition: _at(state, state.position, partition) for partition in partitions}
    need = {partition: _at(state, wanted, partition) for partition in partitions}
    what = (
        f"the table has stored batch {stored} and stands at offsets {_text(have)}, "
        f"the checkpoint is at batch {batch} and offsets {_text(need)}"
    )
    ahead = sum(max(0, need[partition] - have[partition]) for partition in partitions)
    behind = sum(max(0, have[partition] - need[partition]) for partition in partitions)
    losses = [f"{ahead} records between them would never be stored"] if ahead else []
    doubles = [f"{behind} records would be read again, and doubled or skipped with others"] if behind else []
    return Disagreement(what, " and ".join(losses + doubles) or "batches would be skipped as if they were stored")


def _half_committed(state: State, planned: int, stored: int) -> Iterator[Disagreement]:
    quarantine = state.quarantine
    if quarantine is None or quarantine.record is None or quarantine.transaction is None:
        return
    if quarantine.transaction > max(planned, stored):
        what = f"the quarantine has batch {quarantine.transaction}, which the checkpoint has not planned"
        yield Disagreement(what, "its malformed records would be stored twice")
    elif quarantine.transaction > stored and quarantine.record.contract != state.contract:
        yield Disagreement(
            f"batch {quarantine.transaction} is stored in the quarantine only, under contract version "
            f"{quarantine.record.contract}, and this job has version {state.contract}",
            "a record might end in both tables or in neither",
            f"run the version of the job that began it once, or {RECOVER}",
        )


def _counts(state: State, identity: Identity) -> Iterator[Disagreement]:
    if state.ticks is None or state.quarantine is None:
        return
    for name, table in (("finance_delta", state.ticks), ("finance_quarantine", state.quarantine)):
        if table.rows != table.total.rows:
            missing = table.total.rows - table.rows
            change = f"{missing} were removed" if missing > 0 else f"{-missing} were added"
            yield Disagreement(
                f"{name} has {table.rows} rows, the job has committed {table.total.rows}: {change} by somebody else "
                "(RESTORE, DELETE or an append)",
                f"{abs(missing)} rows would stay {'lost' if missing > 0 else 'doubled or foreign'} in silence",
            )
    held = state.ticks.total.rows + state.quarantine.total.rows + state.ticks.total.holes
    extra = _rows_ahead(state.ticks, state.quarantine) + _redriven_twice(state.ticks, state.quarantine)
    spanned = identity.spanned(state.position)
    if held - extra != spanned:
        yield Disagreement(
            f"the commits of both tables add up to {held - extra} records, their offsets to {spanned}",
            f"{abs(held - extra - spanned)} records would stay lost or doubled in silence",
        )


def _rows_ahead(ticks: Table, quarantine: Table) -> int:
    """Rows of a batch that only the quarantine has yet."""
    if quarantine.record is None or quarantine.transaction is None:
        return 0
    stored = -1 if ticks.transaction is None else ticks.transaction
    return sum(quarantine.record.rows.values()) if quarantine.transaction > stored else 0


def _redriven_twice(ticks: Table, quarantine: Table) -> int:
    """Rows that a redrive has put into ticks and not yet taken out of the quarantine."""
    if ticks.record is None or quarantine.record is None or ticks.record.redrives == quarantine.record.redrives:
        return 0
    return sum(ticks.record.rows.values())


def _at(state: State, offsets: Offsets, partition: int) -> int:
    return offsets.get(partition, state.identity.start(partition) if state.identity else 0)


def _same(state: State, wanted: Offsets) -> bool:
    partitions = {*wanted, *state.position}
    return all(_at(state, state.position, partition) == _at(state, wanted, partition) for partition in partitions)


def _text(offsets: Offsets) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
