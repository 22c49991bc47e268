"""Plan a recovery: compare the offsets that the tables hold with those that they should hold and those that Kafka has."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from finance_job.repair.adoption import adopting, farewell
from finance_job.repair.table_content import Content, content
from finance_job.schema_guard import differences
from finance_job.tables import TABLES
from finance_kafka.offsets import OffsetRange
from finance_storage import delta_log, offset_set, place
from finance_storage.accounting import ADOPT, other_topic, tables_of_two_lakes, topic_mismatches
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.lake_identity import CorruptStateError, Excused, Identity, Loss, identity_of, read_identity
from finance_storage.log_damage import damaged_log
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from deltalake import DeltaTable, Field

    from finance_job.transaction import LiveFile
    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.offset_set import OffsetSet
    from finance_storage.place import Place

GONE = "Kafka no longer has them"


class RecoverError(Exception):
    """Recover must not or cannot repair something. The message says what to do instead."""


@dataclass(frozen=True)
class RecoveryPlan:
    """What recover is going to do.

    Attributes:
        identity: the lake's current identity, or one taken from the broker if the tables have none, or that after an adoption
        aside: torn or empty newest entries of the tables' logs, to be moved to `data/aside`
        broken: data files to remove from their table
        columns: columns to add to the schema of a table
        leaving: rows to remove: foreign rows, and duplicate and altered rows, whose records are read again
        backfill: offsets to read from Kafka
        losses: all known losses after the recovery, earlier ones first
        excused: ticks whose sequence numbers verify does not hold against their source from now on
        position: the position of both tables afterwards, where the stream continues
        ticks: coordinates that the table of ticks holds now
        left: the lake's identity before it takes over another topic; None if it keeps its topic

    """

    identity: Identity
    aside: list[Place]
    broken: dict[str, list[LiveFile]]
    columns: dict[str, list[Field]]
    leaving: OffsetSet
    backfill: OffsetSet
    losses: tuple[Loss, ...]
    excused: tuple[Excused, ...]
    position: Offsets
    ticks: OffsetSet
    left: Identity | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the tables hold what they should."""
        news = self.losses[len(self.identity.losses) :]
        files = any(self.broken.values()) or any(self.columns.values())
        changes = self.aside or files or self.leaving or self.backfill or news or self.left
        return not (changes or self.excused != self.identity.excused)

    def steps(self) -> Iterator[str]:
        """Yield a line per step, to show before confirmation."""
        if self.left:
            yield from farewell(self.left, self.identity)
        for path in self.aside:
            yield f"move {path} aside: it is torn or empty"
        for name, files in self.broken.items():
            for file in files:
                yield f"remove {file.path} from {name}: it is missing, truncated, has other columns or fails its checksums"
        for name, fields in self.columns.items():
            for field in fields:
                yield f"add column {field.name} to {name}: its data files have it, its schema does not"
        if self.leaving:
            yield f"remove rows that are duplicate, altered or foreign: {offset_set.text(self.leaving)}"
        if self.backfill:
            yield f"read {offset_set.count(self.backfill)} records from Kafka again: {offset_set.text(self.backfill)}"
        for loss in self.losses[len(self.identity.losses) :]:
            yield f"note {loss.count} records as lost: partition {loss.partition}, {loss.start}-{loss.end - 1}: {loss.reason}"
        yield from _excuses("excuse", self.excused, self.identity.excused)
        yield from _excuses("no longer excuse", self.identity.excused, self.excused)
        ends = ", ".join(f"{partition}:{offset}" for partition, offset in sorted(self.position.items()))
        yield f"count the rows of both tables, and continue at offsets {ends}"


def _excuses(verb: str, excused: Iterable[Excused], others: Collection[Excused]) -> Iterator[str]:
    for entry in excused:
        if entry not in others:
            places = offset_set.text({entry.partition: [OffsetRange(entry.start, entry.end)]})
            yield f"{verb} ticks whose sequence numbers are not from their source: {places}"


def torn_entries(paths: LakePaths) -> dict[str, Place]:
    """Return the newest log entry of each table where it is torn or empty. Raises RecoverError for earlier damage."""
    torn = {}
    for name in TABLES:
        if damage := list(damaged_log(paths.table(name))):
            log = paths.table(name) / "_delta_log"
            newest = log / max(entry for entry in place.names(log) if delta_log.ENTRY.fullmatch(entry))
            if len(damage) > 1 or not damage[0].startswith(str(newest)):
                raise RecoverError(
                    f"the log of {paths.table(name)} is damaged before its newest entry ({damage[0]}). Restore data/ from a "
                    "copy; or move the table's folder elsewhere and recover again, which reads what Kafka still has"
                )
            torn[name] = newest
    return torn


def make_plan(  # noqa: PLR0913
    paths: LakePaths, topic: str, broker: TopicDescription, skip: OffsetSet, altered: OffsetSet, *, adopt: bool = False
) -> RecoveryPlan:
    """Read the lake and plan its recovery, without changes. `skip` is left out, `altered` read again.

    With `adopt` it takes over the topic that `broker` describes if that is another one than the lake's. Raises RecoverError and
    AdoptionError.
    """
    torn = torn_entries(paths)
    versions = {name: int(path.stem) - 1 for name, path in torn.items()}
    actual = content(paths, versions)
    identity = _identity(paths, versions) or _assumed_identity(topic, broker, actual)
    ticks, quarantine = (_identity_of(paths, name, versions) for name in (TICKS, QUARANTINE))
    tables = {name: open_table(paths.table(name), versions.get(name)) for name in TABLES}
    left = identity if adopt and not identity.is_of(broker) else None
    if left:
        # The quarantine has the new identity already if an earlier adoption was killed between the two last commits.
        is_begun = quarantine is not None and quarantine.lake == left.lake and quarantine.is_of(broker)
        identity = quarantine if quarantine and is_begun else adopting(left, broker, _ends(paths, tables, actual), now())
    for mismatch in (
        *(fault for name, table in tables.items() if table for fault in differences(name, table).faults),
        *tables_of_two_lakes(ticks, quarantine),
        *other_topic(identity, topic),
        *topic_mismatches(identity, broker),
    ):
        raise RecoverError(str(mismatch))
    actual = replace(actual, doubtful=offset_set.union(actual.doubtful, altered))
    return replace(decide(identity, identity.numbered(broker), actual, skip, list(torn.values())), left=left)


def _ends(paths: LakePaths, tables: Mapping[str, DeltaTable | None], actual: Content) -> Offsets:
    """Return where each partition ends, according to the commits of the tables; without any, according to their rows."""
    newest = [newest_metadata(table, paths.table(name)) for name, table in tables.items() if table]
    stored = {partition: ranges[-1].end for partition, ranges in offset_set.union(*actual.offsets.values()).items()}
    positions = [metadata.position for metadata in newest if metadata] or [stored]
    return {partition: max(offsets.get(partition, 0) for offsets in positions) for partition in set().union(*positions)}


def decide(identity: Identity, broker: TopicDescription, actual: Content, skip: OffsetSet, aside: list[Place]) -> RecoveryPlan:
    """Compare what the tables should hold with what they hold and what Kafka has; read only the clock. Raises RecoverError.

    `broker` has the lake's partitions.
    """
    if beyond := offset_set.minus(skip, offset_set.spans_between({}, broker.end)):
        raise RecoverError(f"the topic has no such offsets to skip yet: {offset_set.text(beyond)}")
    stored = offset_set.union(*actual.offsets.values())
    position = _position(identity, broker, offset_set.union(stored, skip))
    expected = offset_set.spans_between(identity.first, position)
    available = offset_set.spans_between(broker.first, broker.end)
    foreign = offset_set.minus(stored, expected)
    doubtful = offset_set.minus(actual.doubtful, foreign)
    if unclear := offset_set.minus(doubtful, available):
        raise RecoverError(
            "these offsets are in the tables more than once, or altered, and Kafka no longer has them: "
            f"{offset_set.text(unclear)}. Only you can decide which rows are right: delete the others, then recover again"
        )
    known = identity.lost_spans
    kept = offset_set.minus(stored, offset_set.union(foreign, doubtful))
    missing = offset_set.minus(expected, offset_set.union(kept, known, skip))
    expired = offset_set.minus(missing, available)
    losses = [*losses_of(offset_set.minus(skip, known), "skipped by name"), *losses_of(expired, GONE)]
    return RecoveryPlan(
        identity=identity,
        aside=aside,
        broken=actual.broken,
        columns=actual.columns,
        leaving=offset_set.union(foreign, doubtful, offset_set.common(stored, skip)),
        backfill=offset_set.common(missing, available),
        losses=(*identity.losses, *losses),
        excused=identity.excused,
        position=position,
        ticks=actual.offsets[TICKS],
    )


def excusing(plan: RecoveryPlan, excuse: OffsetSet) -> RecoveryPlan:
    """Return the plan with these ticks excused, and no others. Pure. Raises RecoverError."""
    if absent := offset_set.minus(excuse, plan.ticks):
        raise RecoverError(
            f"finance_delta has no tick to excuse at {offset_set.text(absent)}: `financelake verify` names those it has"
        )
    known = {(entry.partition, entry.start, entry.end): entry for entry in plan.identity.excused}
    places = [(partition, span.start, span.end) for partition, ranges in sorted(excuse.items()) for span in ranges]
    return replace(plan, excused=tuple(known.get(place) or Excused(*place, now()) for place in places))


def _position(identity: Identity, broker: TopicDescription, stored: OffsetSet) -> Offsets:
    ends = {partition: ranges[-1].end for partition, ranges in stored.items()}
    position = {
        partition: max(ends.get(partition, 0), identity.start(partition), broker.first.get(partition, 0))
        for partition in sorted({*ends, *identity.first, *broker.end})
    } | identity.retired
    for partition, offset in position.items():
        if offset > broker.end.get(partition, 0):
            raise RecoverError(
                f"the tables hold partition {partition} up to offset {offset}, the topic ends at "
                f"{broker.end.get(partition, 0)}: the broker has lost records, and new ones would get offsets that the lake "
                "already has. Restore data/kafka, or create another lake with DATA_DIR or `make reset`; or delete the topic "
                f"and create it again: {ADOPT}"
            )
    return position


def losses_of(lost: OffsetSet, reason: str) -> Iterator[Loss]:
    """Yield each range of offsets as a loss."""
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


def _assumed_identity(topic: str, broker: TopicDescription, actual: Content) -> Identity:
    """Return an identity for the broker's topic, for tables that do not say which topic they hold."""
    stored = offset_set.union(*actual.offsets.values())
    first = {p: min(offset, stored[p][0].start) if p in stored else offset for p, offset in broker.first.items()}
    return Identity(str(uuid.uuid4()), broker.cluster, topic, broker.topic_id, first, now())


def now() -> str:
    """Return the current time in ISO format, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
