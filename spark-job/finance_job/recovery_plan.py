"""What recover has to do: the offsets that the tables hold, against those that they should hold and those that Kafka has."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import Field, Schema

from finance_job import rewrite, transaction
from finance_job.schema import differences
from finance_job.tables import TABLES
from finance_lake.state import spans
from finance_lake.state.accounting import other_topic, tables_of_two_lakes, topic_mismatches
from finance_lake.state.columns import is_plain, shape_fault, unknown_columns
from finance_lake.state.damage import damaged_log
from finance_lake.state.identity import CorruptStateError, Excused, Identity, Loss, identity_of, read_identity
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.record import OffsetRange
from finance_lake.state.table import open_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_job.transaction import LiveFile
    from finance_lake.state.accounting import Broker
    from finance_lake.state.record import Offsets
    from finance_lake.state.spans import Spans

GONE = "Kafka no longer has them"


class RecoverError(Exception):
    """There is something that recover must not or cannot mend; the message says what to do instead."""


@dataclass(frozen=True)
class Content:
    """What the tables hold.

    Attributes:
        held: coordinates that are there, by table
        doubtful: coordinates that are there more than once, in one table or in both, or whose rows were altered
        broken: data files that are gone, cut, have other columns or fail a checksum, by table
        columns: columns that data files have and the schema lacks, by table

    """

    held: dict[str, Spans]
    doubtful: Spans
    broken: dict[str, list[LiveFile]]
    columns: dict[str, list[Field]]


@dataclass(frozen=True)
class Plan:
    """What recover is going to do.

    Attributes:
        identity: the lake's as it is now, or one of the broker's where the tables have none
        aside: torn or empty newest entries of the tables' logs, to be put away
        broken: data files that leave their table
        columns: columns to add to the schema of a table
        leaving: rows that leave their tables: foreign ones, and doubled and altered ones, which are read again
        backfill: offsets to read from Kafka
        losses: what will be noted as lost, with what was known before
        excused: ticks whose numbers are not held against their source from now on
        position: where the tables end afterwards and the stream goes on
        ticks: coordinates that the table of ticks holds now

    """

    identity: Identity
    aside: list[Path]
    broken: dict[str, list[LiveFile]]
    columns: dict[str, list[Field]]
    leaving: Spans
    backfill: Spans
    losses: tuple[Loss, ...]
    excused: tuple[Excused, ...]
    position: Offsets
    ticks: Spans

    @property
    def is_idle(self) -> bool:
        """Whether the tables hold what they should."""
        news = self.losses[len(self.identity.losses) :]
        files = any(self.broken.values()) or any(self.columns.values())
        return not (self.aside or files or self.leaving or self.backfill or news or self.excused != self.identity.excused)

    def steps(self) -> Iterator[str]:
        """Tell it to people, a line a step."""
        for path in self.aside:
            yield f"put {path} aside, which is torn or empty"
        for name, files in self.broken.items():
            for file in files:
                yield f"take {file.path} out of {name}: it is gone, cut, has other columns or fails its checksums"
        for name, fields in self.columns.items():
            for field in fields:
                yield f"add column {field.name} to {name}, which its data files have and its schema lacks"
        if self.leaving:
            yield f"take rows out that are doubled, altered or foreign: {spans.text(self.leaving)}"
        if self.backfill:
            yield f"read {spans.count(self.backfill)} records from Kafka again: {spans.text(self.backfill)}"
        for loss in self.losses[len(self.identity.losses) :]:
            yield f"note {loss.count} records as lost: partition {loss.partition}, {loss.start}-{loss.end - 1}: {loss.reason}"
        yield from _excuses("excuse", self.excused, self.identity.excused)
        yield from _excuses("no longer excuse", self.identity.excused, self.excused)
        ends = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(self.position.items()))
        yield f"count the rows of both tables, and go on at offsets {ends}"


def _excuses(verb: str, ones: Iterable[Excused], others: Collection[Excused]) -> Iterator[str]:
    for one in ones:
        if one not in others:
            places = spans.text({one.partition: [OffsetRange(one.start, one.end)]})
            yield f"{verb} ticks whose numbers are not their source's own: {places}"


def content(layout: Layout, versions: dict[str, int]) -> Content:
    """Read all coordinates of both tables, as of a version where one is given."""
    held: dict[str, Spans] = {}
    doubled: list[Spans] = []
    broken: dict[str, list[LiveFile]] = {}
    columns: dict[str, list[Field]] = {}
    for name in TABLES:
        offsets: dict[int, list[np.ndarray]] = {}
        broken[name] = []
        known = _Known(name, open_table(layout.table(name), versions.get(name)))
        columns[name] = known.added
        for file, rows in _files(layout, name, known):
            if rows is None:
                broken[name].append(file)
                continue
            partitions, found = (rows.column(column).to_numpy() for column in ("kafka_partition", "kafka_offset"))
            for partition in np.unique(partitions):
                offsets.setdefault(int(partition), []).append(found[partitions == partition])
        together = {partition: np.concatenate(parts) for partition, parts in offsets.items()}
        held[name] = spans.spans_of(together)
        doubled.append(spans.spans_of({partition: _repeated(found) for partition, found in together.items()}))
    doubled.append(spans.common(held[TICKS], held[QUARANTINE]))
    return Content(held, spans.union(*doubled), broken, columns)


def _repeated(offsets: np.ndarray) -> np.ndarray:
    distinct, times = np.unique(offsets, return_counts=True)
    found: np.ndarray = distinct[times > 1]
    return found


class _Known:
    """The columns of a table, and those that its data files have beyond them."""

    def __init__(self, name: str, table: DeltaTable | None) -> None:
        self.table = table
        self.added: list[Field] = []
        self._name = name
        self._columns = pa.schema(table.schema().to_arrow() if table else [])

    def take(self, rows: pa.Schema) -> None:
        """Take the columns of a data file. Raises ArrowInvalid if they are not the table's, nor can be added to it."""
        if fault := shape_fault(self._name, rows, self._columns):
            raise pa.ArrowInvalid(fault)
        unknown = unknown_columns(rows, self._columns)
        if other := [field for field in unknown if not is_plain(field.type)]:
            raise pa.ArrowInvalid(f"column {other[0].name} is of type {other[0].type}")
        for field in unknown:
            self._columns = self._columns.append(field)
            self.added.append(Field(field.name, Schema.from_arrow(pa.schema([field])).fields[0].type, nullable=True))


def _files(layout: Layout, name: str, known: _Known) -> Iterator[tuple[LiveFile, pa.Table | None]]:
    folder = layout.table(name)
    for file in transaction.live_files(known.table) if known.table else []:
        try:
            rows = rewrite.stored(folder, file)
            known.take(rows.schema)
            rows = rewrite.shaped(name, rows)
        except (OSError, pa.ArrowInvalid):
            rows = None
        yield file, rows


def torn_entries(layout: Layout) -> dict[str, Path]:
    """Find the newest entry of each table's log that is torn or empty. Raises RecoverError for damage further back."""
    found = {}
    for name in TABLES:
        if damage := list(damaged_log(layout.table(name))):
            newest = max((layout.table(name) / "_delta_log").glob("[0-9]*.json"))
            if len(damage) > 1 or not damage[0].startswith(str(newest)):
                raise RecoverError(
                    f"the log of {layout.table(name)} is damaged before its newest entry ({damage[0]}). Restore data/ from a "
                    "copy; or move the folder of the table away and recover again, which reads back what Kafka still has"
                )
            found[name] = newest
    return found


def make_plan(layout: Layout, topic: str, broker: Broker, skip: Spans, altered: Spans) -> Plan:
    """Find out what to do; changes nothing. `skip` is to be left out, `altered` to be read again. Raises RecoverError."""
    torn = torn_entries(layout)
    versions = {name: int(path.stem) - 1 for name, path in torn.items()}
    there = content(layout, versions)
    identity = _identity(layout, versions) or _assumed_identity(topic, broker, there)
    ticks, quarantine = (_identity_of(layout, name, versions) for name in (TICKS, QUARANTINE))
    tables = {name: open_table(layout.table(name), versions.get(name)) for name in TABLES}
    for found in (
        *(fault for name, table in tables.items() if table for fault in differences(name, table).faults),
        *tables_of_two_lakes(ticks, quarantine),
        *other_topic(identity, topic),
        *topic_mismatches(identity, broker),
    ):
        raise RecoverError(str(found))
    return decide(identity, broker, replace(there, doubtful=spans.union(there.doubtful, altered)), skip, list(torn.values()))


def decide(identity: Identity, broker: Broker, there: Content, skip: Spans, aside: list[Path]) -> Plan:
    """Compare what the tables should hold with what they hold and what Kafka has. Pure. Raises RecoverError."""
    if beyond := spans.minus(skip, spans.spans_between({}, broker.end)):
        raise RecoverError(f"the topic has no such offsets to skip yet: {spans.text(beyond)}")
    held = spans.union(*there.held.values())
    position = _position(identity, broker, spans.union(held, skip))
    wanted, has = spans.spans_between(identity.first, position), spans.spans_between(broker.first, broker.end)
    foreign = spans.minus(held, wanted)
    doubtful = spans.minus(there.doubtful, foreign)
    if unclear := spans.minus(doubtful, has):
        raise RecoverError(
            f"these offsets are in the tables more than once, or altered, and Kafka no longer has them: {spans.text(unclear)}. "
            "Nobody but you can tell what is right: delete the rest, then recover"
        )
    known = spans.union(*({loss.partition: [OffsetRange(loss.start, loss.end)]} for loss in identity.losses))
    kept = spans.minus(held, spans.union(foreign, doubtful))
    missing = spans.minus(wanted, spans.union(kept, known, skip))
    losses = [*losses_of(spans.minus(skip, known), "skipped by name"), *losses_of(spans.minus(missing, has), GONE)]
    return Plan(
        identity=identity,
        aside=aside,
        broken=there.broken,
        columns=there.columns,
        leaving=spans.union(foreign, doubtful, spans.common(held, skip)),
        backfill=spans.common(missing, has),
        losses=(*identity.losses, *losses),
        excused=identity.excused,
        position=position,
        ticks=there.held[TICKS],
    )


def excusing(plan: Plan, excuse: Spans) -> Plan:
    """Give the plan after which these ticks are excused, and no others. Pure. Raises RecoverError."""
    if absent := spans.minus(excuse, plan.ticks):
        raise RecoverError(
            f"finance_delta has no tick to excuse at {spans.text(absent)}: `financelake verify` names those it has"
        )
    known = {(one.partition, one.start, one.end): one for one in plan.identity.excused}
    places = [(partition, span.start, span.end) for partition, ranges in sorted(excuse.items()) for span in ranges]
    return replace(plan, excused=tuple(known.get(place) or Excused(*place, now()) for place in places))


def _position(identity: Identity, broker: Broker, held: Spans) -> Offsets:
    ends = {partition: ranges[-1].end for partition, ranges in held.items()}
    position = {
        partition: max(ends.get(partition, 0), identity.start(partition), broker.first.get(partition, 0))
        for partition in sorted({*ends, *identity.first, *broker.end})
    }
    for partition, offset in position.items():
        if offset > broker.end.get(partition, 0):
            raise RecoverError(
                f"the tables hold partition {partition} up to offset {offset}, the topic ends at "
                f"{broker.end.get(partition, 0)}: the broker has lost records, and new ones would get offsets that the lake "
                "has. Restore data/kafka, or begin another lake with DATA_DIR or `make reset`"
            )
    return position


def losses_of(lost: Spans, reason: str) -> Iterator[Loss]:
    """Give ranges of offsets as losses."""
    for partition, ranges in sorted(lost.items()):
        for span in ranges:
            yield Loss(partition, span.start, span.end, reason, now())


def _identity(layout: Layout, versions: Mapping[str, int]) -> Identity | None:
    try:
        return read_identity(layout, versions)
    except CorruptStateError:
        return _identity_of(layout, QUARANTINE, versions)


def _identity_of(layout: Layout, name: str, versions: Mapping[str, int]) -> Identity | None:
    table = open_table(layout.table(name), versions.get(name))
    try:
        return identity_of(table) if table else None
    except CorruptStateError:
        return None


def _assumed_identity(topic: str, broker: Broker, there: Content) -> Identity:
    """Take the broker's word where the tables do not say which topic they hold."""
    held = spans.union(*there.held.values())
    first = {p: min(offset, held[p][0].start) if p in held else offset for p, offset in broker.first.items()}
    return Identity(str(uuid.uuid4()), broker.cluster, topic, broker.topic_id, first, now())


def now() -> str:
    """The present moment, as an ISO time."""
    return datetime.now(UTC).isoformat(timespec="seconds")
