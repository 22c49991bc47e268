"""Verify: does the lake hold exactly what is in the topic? No JVM, while the job runs. docs/RELIABILITY.md says what is judged.

The order of looking is part of the proof. The ledgers first, then the ends of the topic, then the tables when they have passed
those ends: so what a ledger says was acknowledged must be in them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from finance_lake.errors import FILL, NoLakeError, first_line
from finance_lake.proof import belonging, judgement, ledger, snapshot
from finance_lake.proof.examination import Evidence, Examination
from finance_lake.proof.judgement import behind, ends_of
from finance_lake.proof.verdict import Code, Figures, Finding, Report
from finance_lake.state.accounting import still_to_come
from finance_lake.state.damage import damaged_log
from finance_lake.state.identity import CorruptStateError, read_identity
from finance_lake.state.layout import QUARANTINE, TICKS
from finance_lake.state.record import OffsetRange
from finance_lake.state.table import committed_offsets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from finance_lake.proof.snapshot import Snapshot
    from finance_lake.proof.world import World
    from finance_lake.state.accounting import Broker
    from finance_lake.state.identity import Identity
    from finance_lake.state.layout import Layout

POLL_SECONDS = 0.25
READER_VERSION = 1


def verify(layout: Layout, world: World) -> Report:
    """Judge a lake. Raises NoLakeError, and what `world.ask` and `world.read_topic` raise."""
    ledgers = ledger.read_all(layout.ledgers, world.topic)
    try:
        identity = read_identity(layout)
    except (CorruptStateError, DeltaError) as error:
        return Report((Finding(Code.CORRUPT, first_line(error)), *_damage(layout)))
    if identity is None:
        return _nameless(layout)
    broker = world.ask() if world.ask else None
    early = [*belonging.topic_findings(identity, world.topic, broker), *_damage(layout)]
    if broker and not early:
        _wait_for(layout, broker, world.patience_seconds)
    try:
        taken = snapshot.take(layout)
    except (DeltaError, CorruptStateError) as error:
        return Report((*early, Finding(Code.CORRUPT, f"the tables below {layout.root} cannot be read: {first_line(error)}")))
    if taken is None:
        return _tableless(layout, identity, broker, early)
    early += [*belonging.table_findings(taken), *_hidden(taken)]
    return Examination(Evidence(ledgers, broker, identity, taken), world).report(early)


def _damage(layout: Layout) -> list[Finding]:
    """Find entries of the logs that are torn; what is torn only at a first look was being written or removed."""

    def look() -> list[str]:
        try:
            return [*damaged_log(layout.ticks), *damaged_log(layout.quarantine)]
        except FileNotFoundError as error:
            return [f"{error.filename} vanished"]

    if not (first := look()):
        return []
    time.sleep(POLL_SECONDS)
    second = look()
    return [Finding(Code.CORRUPT, what) for what in second if what in first]


def _nameless(layout: Layout) -> Report:
    tables = [snapshot.view(layout, name) for name in (TICKS, QUARANTINE)]
    if not any(table and (table.record or table.files) for table in tables):
        raise NoLakeError(f"There is no lake at {layout.root} yet: {FILL}")
    what = f"the tables below {layout.root} do not say which topic they hold: nobody can tell whose offsets they are"
    return Report((Finding(Code.IDENTITY, what), *_damage(layout)))


def _tableless(layout: Layout, identity: Identity, broker: Broker | None, early: Sequence[Finding]) -> Report:
    findings = [*early, *_missing_table(layout, identity)]
    scope = judgement.scope_of(identity, {})
    if broker and not findings:
        findings += judgement.topic_against(scope, broker, broker)
    return Report(tuple(findings), (), Figures(behind=behind(findings), position=ends_of(scope)))


def _missing_table(layout: Layout, identity: Identity) -> Iterator[Finding]:
    """Find the table that is gone beside one that has been written to; before that the lake is being created."""
    for gone, here in ((TICKS, QUARANTINE), (QUARANTINE, TICKS)):
        left = snapshot.view(layout, here)
        if left and not left.is_new:
            position = left.record.position if left.record else {}
            places = {partition: [OffsetRange(identity.start(partition), end)] for partition, end in position.items()}
            yield Finding(Code.CORRUPT, f"the table {layout.table(gone)} is missing, {layout.table(here).name} is not", places)


def _hidden(taken: Snapshot) -> Iterator[Finding]:
    for table in taken.tables:
        if table.reader > READER_VERSION:
            what = f"{table.folder} was switched to reader version {table.reader} of Delta: its log may hide rows of its files"
            yield Finding(Code.CORRUPT, what)


def _wait_for(layout: Layout, broker: Broker, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            position = committed_offsets(layout.ticks)
        except DeltaError:
            return  # the snapshot will say it
        if not still_to_come(position, broker):
            return
        time.sleep(POLL_SECONDS)
