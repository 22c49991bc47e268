"""Whether lake.json, checkpoint, tables and topic belong together: what verify says before it looks at a single row.

The guard asks the same of a job at rest; here the job may run. A batch is planned before it is stored and stored before it is
closed. So what the checkpoint had closed before the tables were opened must be in them, and what is in them must be planned in
a checkpoint that is read after.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from finance_lake.proof.verdict import Code, Finding
from finance_lake.state import accounting
from finance_lake.state.record import OffsetRange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_lake.proof.snapshot import Snapshot
    from finance_lake.state.accounting import Broker
    from finance_lake.state.checkpoint import Checkpoint
    from finance_lake.state.identity import Identity
    from finance_lake.state.record import Offsets

NONE_YET = -1


class Closed(NamedTuple):
    """The newest batch that the checkpoint has closed, and where it ends."""

    batch: int
    end: Offsets


def closed(checkpoint: Checkpoint) -> Closed:
    """Ask the checkpoint; to be done before the tables are opened."""
    batch = checkpoint.newest_done()
    if batch is None:
        return Closed(NONE_YET, {})
    try:
        return Closed(batch, checkpoint.planned(batch).end)
    except (OSError, ValueError, KeyError):  # torn, or removed: the one is a damage of its own, the other `_steps` finds
        return Closed(batch, {})


def topic_findings(identity: Identity, topic: str, broker: Broker | None) -> Iterator[Finding]:
    """Judge whether topic and broker are the lake's."""
    if topic != identity.topic:
        yield Finding(Code.IDENTITY, f"KAFKA_TOPIC is {topic}, the lake holds topic {identity.topic}")
    elif broker:
        yield from (Finding(Code.IDENTITY, found.what) for found in accounting.identities(identity, broker))


def checkpoint_findings(checkpoint: Checkpoint, identity: Identity, before: Closed, snapshot: Snapshot) -> Iterator[Finding]:
    """Judge whether the checkpoint is that of the tables; to be asked after the tables were opened."""
    with suppress(ValueError, KeyError):  # a torn file, which is named as such
        yield from _checkpoint(checkpoint, identity, before, snapshot)


def _checkpoint(checkpoint: Checkpoint, identity: Identity, before: Closed, snapshot: Snapshot) -> Iterator[Finding]:
    if not (checkpoint.folder / "metadata").exists():
        if any(table.record or table.files for table in snapshot.tables):
            yield Finding(Code.IDENTITY, f"the checkpoint {checkpoint.folder} is missing, the tables are not")
    elif (query := checkpoint.query_id()) != identity.query:
        yield Finding(Code.IDENTITY, f"the checkpoint belongs to query {query}, lake.json names {identity.query}")
    else:
        yield from _steps(checkpoint, identity, before, snapshot)


def _steps(checkpoint: Checkpoint, identity: Identity, before: Closed, snapshot: Snapshot) -> Iterator[Finding]:
    stored, held = (NONE_YET if table.transaction is None else table.transaction for table in snapshot.tables)
    newest = checkpoint.newest_planned()
    planned = NONE_YET if newest is None else newest
    if planned < (reached := max(stored, held, before.batch)):
        yield Finding(
            Code.IDENTITY,
            f"the checkpoint was rolled back: its newest plan is batch {planned}, the tables are at batch {reached}",
        )
    elif before.batch > stored:
        yield Finding(
            Code.GAP,
            f"the checkpoint has closed batch {before.batch}, finance_delta is at batch {stored}: "
            "the batches between them will not be stored again",
            _never_stored(identity, before, snapshot),
        )
    else:
        yield from _same_place(checkpoint, identity, stored, snapshot)


def _never_stored(identity: Identity, before: Closed, snapshot: Snapshot) -> dict[int, list[OffsetRange]]:
    position = snapshot.ticks.record.position if snapshot.ticks.record else {}
    spans = {
        partition: OffsetRange(position.get(partition, identity.start(partition)), end) for partition, end in before.end.items()
    }
    return {partition: [span] for partition, span in spans.items() if span.count > 0}


def _same_place(checkpoint: Checkpoint, identity: Identity, stored: int, snapshot: Snapshot) -> Iterator[Finding]:
    record = snapshot.ticks.record
    if record is None or (record.query, record.batch) != (identity.query, stored):
        return
    try:
        end = checkpoint.planned(stored).end
    except FileNotFoundError:
        return
    if any(record.position.get(partition) != offset for partition, offset in end.items()):
        yield Finding(
            Code.IDENTITY, f"batch {stored} ends at {_text(end)} in the checkpoint and at {_text(record.position)} in the table"
        )


def _text(offsets: Offsets) -> str:
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))
