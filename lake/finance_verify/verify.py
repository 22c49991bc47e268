"""Verify: does the lake hold exactly what is in the topic? No JVM, while the job runs. docs/RELIABILITY.md says what is judged.

The order of looking is part of the proof. The ledgers first, then the ends of the topic, then the tables when they have passed
those ends: so what a ledger says was acknowledged must be in them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from finance_kafka.offsets import OffsetRange
from finance_storage import accounting, ledger
from finance_storage.accounting import still_to_come
from finance_storage.delta_table import committed_offsets
from finance_storage.errors import FILL, NoLakeError, first_line
from finance_storage.lake_identity import CorruptStateError, read_identity
from finance_storage.log_damage import damaged_log
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify import offset_checks, snapshot
from finance_verify.offset_checks import behind, ends_of
from finance_verify.verdict import Code, Figures, Finding, Report
from finance_verify.verifier import Evidence, Verifier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from finance_kafka.describe import TopicDescription
    from finance_storage.lake_identity import Identity
    from finance_storage.paths import LakePaths
    from finance_verify.context import VerifyContext
    from finance_verify.snapshot import TablePair

POLL_SECONDS = 0.25
READER_VERSION = 1


def verify(paths: LakePaths, world: VerifyContext) -> Report:
    """Judge a lake. Raises NoLakeError, and what `world.ask` and `world.read_topic` raise."""
    ledgers = ledger.read_all(paths.ledgers, world.topic)
    try:
        identity = read_identity(paths)
    except (CorruptStateError, DeltaError) as error:
        return Report((Finding(Code.CORRUPT, first_line(error)), *_damage(paths)))
    if identity is None:
        return _nameless(paths)
    broker = world.ask() if world.ask else None
    early = [*topic_findings(identity, world.topic, broker), *_damage(paths)]
    if broker and not early:
        _wait_for(paths, broker, world.patience_seconds)
    try:
        taken = snapshot.take(paths)
    except (DeltaError, CorruptStateError) as error:
        return Report((*early, Finding(Code.CORRUPT, f"the tables below {paths.root} cannot be read: {first_line(error)}")))
    if taken is None:
        return _tableless(paths, identity, broker, early)
    early += [*table_findings(taken), *_hidden(taken)]
    return Verifier(Evidence(ledgers, broker, identity, taken), world).report(early)


def _damage(paths: LakePaths) -> list[Finding]:
    """Find entries of the logs that are torn; what is torn only at a first look was being written or removed."""

    def look() -> list[str]:
        try:
            return [*damaged_log(paths.ticks), *damaged_log(paths.quarantine)]
        except FileNotFoundError as error:
            return [f"{error.filename} vanished"]

    if not (first := look()):
        return []
    time.sleep(POLL_SECONDS)
    second = look()
    return [Finding(Code.CORRUPT, what) for what in second if what in first]


def _nameless(paths: LakePaths) -> Report:
    tables = [snapshot.view(paths, name) for name in (TICKS, QUARANTINE)]
    if not any(table and (table.record or table.files) for table in tables):
        raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
    what = f"the tables below {paths.root} do not say which topic they hold: nobody can tell whose offsets they are"
    return Report((Finding(Code.IDENTITY, what), *_damage(paths)))


def _tableless(paths: LakePaths, identity: Identity, broker: TopicDescription | None, early: Sequence[Finding]) -> Report:
    findings = [*early, *_missing_table(paths, identity)]
    scope = offset_checks.scope_of(identity, {})
    if broker and not findings:
        findings += offset_checks.topic_against(scope, broker, broker)
    return Report(tuple(findings), (), Figures(behind=behind(findings), position=ends_of(scope)))


def _missing_table(paths: LakePaths, identity: Identity) -> Iterator[Finding]:
    """Find the table that is gone beside one that has been written to; before that the lake is being created."""
    for gone, here in ((TICKS, QUARANTINE), (QUARANTINE, TICKS)):
        left = snapshot.view(paths, here)
        if left and not left.is_new:
            position = left.record.position if left.record else {}
            places = {partition: [OffsetRange(identity.start(partition), end)] for partition, end in position.items()}
            yield Finding(Code.CORRUPT, f"the table {paths.table(gone)} is missing, {paths.table(here).name} is not", places)


def _hidden(taken: TablePair) -> Iterator[Finding]:
    for table in taken.tables:
        if table.reader > READER_VERSION:
            what = f"{table.folder} was switched to reader version {table.reader} of Delta: its log may hide rows of its files"
            yield Finding(Code.CORRUPT, what)


def _wait_for(paths: LakePaths, broker: TopicDescription, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            position = committed_offsets(paths.ticks)
        except DeltaError:
            return  # the snapshot will say it
        if not still_to_come(position, broker):
            return
        time.sleep(POLL_SECONDS)


def topic_findings(identity: Identity, topic: str, broker: TopicDescription | None) -> Iterator[Finding]:
    """Judge whether topic and broker are the lake's."""
    found = list(accounting.other_topic(identity, topic))
    if broker and not found:
        found = list(accounting.topic_mismatches(identity, broker))
    yield from (Finding(Code.IDENTITY, one.what) for one in found)


def table_findings(snapshot: TablePair) -> Iterator[Finding]:
    """Judge whether both tables are of one lake."""
    found = accounting.tables_of_two_lakes(snapshot.ticks.identity, snapshot.quarantine.identity)
    yield from (Finding(Code.IDENTITY, one.what) for one in found)
