"""What recover has to do: the offsets that the tables hold, against those that they should hold and those that Kafka has."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from finance_job.repair.table_content import Content, content
from finance_job.schema_guard import differences
from finance_job.tables import TABLES
from finance_kafka.offsets import OffsetRange
from finance_storage import offset_set
from finance_storage.accounting import other_topic, tables_of_two_lakes, topic_mismatches
from finance_storage.delta_table import open_table
from finance_storage.lake_identity import CorruptStateError, Excused, Identity, Loss, identity_of, read_identity
from finance_storage.log_damage import damaged_log
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from deltalake import Field

    from finance_job.transaction import LiveFile
    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.offset_set import OffsetSet

GONE = "Kafka no longer has them"


class RecoverError(Exception):
    """There is something that recover must not or cannot mend; the message says what to do instead."""


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
    leaving: OffsetSet
    backfill: OffsetSet
    losses: tuple[Loss, ...]
    excused: tuple[Excused, ...]
    position: Offsets
    ticks: OffsetSet

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
            yield f"take rows out that are doubled, altered or foreign: {offset_set.text(self.leaving)}"
        if self.backfill:
            yield f"read {offset_set.count(self.backfill)} records from Kafka again: {offset_set.text(self.backfill)}"
        for loss in self.losses[len(self.identity.losses) :]:
            yield f"note {loss.count} records as lost: partition {loss.partition}, {loss.start}-{loss.end - 1}: {loss.reason}"
        yield from _excuses("excuse", self.excused, self.identity.excused)
        yield from _excuses("no longer excuse", self.identity.excused, self.excused)
        ends = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(self.position.items()))
        yield f"count the rows of both tables, and go on at offsets {ends}"


def _excuses(verb: str, ones: Iterable[Excused], others: Collection[Excused]) -> Iterator[str]:
    for one in ones:
        if one not in others:
            places = offset_set.text({one.partition: [OffsetRange(one.start, one.end)]})
            yield f"{verb} ticks whose numbers are not their source's own: {places}"


def torn_entries(paths: LakePaths) -> dict[str, Path]:
    """Find the newest entry of each table's log that is torn or empty. Raises RecoverError for damage further back."""
    found = {}
    for name in TABLES:
        if damage := list(damaged_log(paths.table(name))):
            newest = max((paths.table(name) / "_delta_log").glob("[0-9]*.json"))
            if len(damage) > 1 or not damage[0].startswith(str(newest)):
                raise RecoverError(
                    f"the log of {paths.table(name)} is damaged before its newest entry ({damage[0]}). Restore data/ from a "
                    "copy; or move the folder of the table away and recover again, which reads back what Kafka still has"
                )
            found[name] = newest
    return found


def make_plan(paths: LakePaths, topic: str, broker: TopicDescription, skip: OffsetSet, altered: OffsetSet) -> Plan:
    """Find out what to do; changes nothing. `skip` is to be left out, `altered` to be read again. Raises RecoverError."""
    torn = torn_entries(paths)
    versions = {name: int(path.stem) - 1 for name, path in torn.items()}
    there = content(paths, versions)
    identity = _identity(paths, versions) or _assumed_identity(topic, broker, there)
    ticks, quarantine = (_identity_of(paths, name, versions) for name in (TICKS, QUARANTINE))
    tables = {name: open_table(paths.table(name), versions.get(name)) for name in TABLES}
    for found in (
        *(fault for name, table in tables.items() if table for fault in differences(name, table).faults),
        *tables_of_two_lakes(ticks, quarantine),
        *other_topic(identity, topic),
        *topic_mismatches(identity, broker),
    ):
        raise RecoverError(str(found))
    return decide(
        identity, broker, replace(there, doubtful=offset_set.union(there.doubtful, altered)), skip, list(torn.values())
    )


def decide(identity: Identity, broker: TopicDescription, there: Content, skip: OffsetSet, aside: list[Path]) -> Plan:
    """Compare what the tables should hold with what they hold and what Kafka has. Pure. Raises RecoverError."""
    if beyond := offset_set.minus(skip, offset_set.spans_between({}, broker.end)):
        raise RecoverError(f"the topic has no such offsets to skip yet: {offset_set.text(beyond)}")
    held = offset_set.union(*there.held.values())
    position = _position(identity, broker, offset_set.union(held, skip))
    wanted, has = offset_set.spans_between(identity.first, position), offset_set.spans_between(broker.first, broker.end)
    foreign = offset_set.minus(held, wanted)
    doubtful = offset_set.minus(there.doubtful, foreign)
    if unclear := offset_set.minus(doubtful, has):
        raise RecoverError(
            "these offsets are in the tables more than once, or altered, and Kafka no longer has them: "
            f"{offset_set.text(unclear)}. "
            "Nobody but you can tell what is right: delete the rest, then recover"
        )
    known = offset_set.union(*({loss.partition: [OffsetRange(loss.start, loss.end)]} for loss in identity.losses))
    kept = offset_set.minus(held, offset_set.union(foreign, doubtful))
    missing = offset_set.minus(wanted, offset_set.union(kept, known, skip))
    losses = [*losses_of(offset_set.minus(skip, known), "skipped by name"), *losses_of(offset_set.minus(missing, has), GONE)]
    return Plan(
        identity=identity,
        aside=aside,
        broken=there.broken,
        columns=there.columns,
        leaving=offset_set.union(foreign, doubtful, offset_set.common(held, skip)),
        backfill=offset_set.common(missing, has),
        losses=(*identity.losses, *losses),
        excused=identity.excused,
        position=position,
        ticks=there.held[TICKS],
    )


def excusing(plan: Plan, excuse: OffsetSet) -> Plan:
    """Give the plan after which these ticks are excused, and no others. Pure. Raises RecoverError."""
    if absent := offset_set.minus(excuse, plan.ticks):
        raise RecoverError(
            f"finance_delta has no tick to excuse at {offset_set.text(absent)}: `financelake verify` names those it has"
        )
    known = {(one.partition, one.start, one.end): one for one in plan.identity.excused}
    places = [(partition, span.start, span.end) for partition, ranges in sorted(excuse.items()) for span in ranges]
    return replace(plan, excused=tuple(known.get(place) or Excused(*place, now()) for place in places))


def _position(identity: Identity, broker: TopicDescription, held: OffsetSet) -> Offsets:
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


def losses_of(lost: OffsetSet, reason: str) -> Iterator[Loss]:
    """Give ranges of offsets as losses."""
    for partition, ranges in sorted(lost.items()):
        for span in ranges:
            yield Loss(partition, span.start, span.end, reason, now())


def _identity(paths: LakePaths, versions: Mapping[str, int]) -> Identity | None:
    try:
        return read_identity(paths, versions)
    except CorruptStateError:
        return _identity_of(paths, QUARANTINE, versions)


def _identity_of(paths: LakePaths, name: str, versions: Mapping[str, int]) -> Identity | None:
    table = open_table(paths.table(name), versions.get(name))
    try:
        return identity_of(table) if table else None
    except CorruptStateError:
        return None


def _assumed_identity(topic: str, broker: TopicDescription, there: Content) -> Identity:
    """Take the broker's word where the tables do not say which topic they hold."""
    held = offset_set.union(*there.held.values())
    first = {p: min(offset, held[p][0].start) if p in held else offset for p, offset in broker.first.items()}
    return Identity(str(uuid.uuid4()), broker.cluster, topic, broker.topic_id, first, now())


def now() -> str:
    """The present moment, as an ISO time."""
    return datetime.now(UTC).isoformat(timespec="seconds")
