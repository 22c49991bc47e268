"""Verify that the tables hold every record of the topic since the lake's first offset, exactly once. The job may run.

docs/RELIABILITY.md lists the checks.

The order of reading is part of the proof: first the ledgers, then the topic's end offsets, then the tables once they have
reached those offsets. So every tick that a ledger lists as acknowledged must be in the tables.
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


def verify(paths: LakePaths, context: VerifyContext) -> Report:
    """Verify a lake. Raises NoLakeError, and whatever `context.ask` and `context.read_topic` raise."""
    ledgers = ledger.read_all(paths.ledgers, context.topic)
    try:
        identity = read_identity(paths)
    except (CorruptStateError, DeltaError) as error:
        return Report((Finding(Code.CORRUPT, first_line(error)), *_damage(paths)))
    if identity is None:
        return _nameless(paths)
    broker = identity.numbered(context.ask()) if context.ask else None
    early = [*topic_findings(identity, context.topic, broker), *_damage(paths)]
    if broker and not early:
        _wait_for(paths, broker, context.patience_seconds)
    try:
        pair = snapshot.open_tables(paths)
    except (DeltaError, CorruptStateError) as error:
        return Report((*early, Finding(Code.CORRUPT, f"the tables below {paths.root} cannot be read: {first_line(error)}")))
    if pair is None:
        return _tableless(paths, identity, broker, early)
    early += [*table_findings(pair), *_unsupported(pair)]
    return Verifier(Evidence(ledgers, broker, identity, pair), context).report(early)


def _damage(paths: LakePaths) -> list[Finding]:
    """Find damaged log entries. An entry that is damaged only at the first check was being written or removed."""

    def check() -> list[str]:
        try:
            return [*damaged_log(paths.ticks), *damaged_log(paths.quarantine)]
        except FileNotFoundError as error:
            return [f"{error.filename} was removed during the check"]

    if not (first := check()):
        return []
    time.sleep(POLL_SECONDS)
    second = check()
    return [Finding(Code.CORRUPT, what) for what in second if what in first]


def _nameless(paths: LakePaths) -> Report:
    tables = [snapshot.view(paths, name) for name in (TICKS, QUARANTINE)]
    if not any(table and (table.metadata or table.files) for table in tables):
        raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
    what = f"the tables below {paths.root} do not say which topic they hold"
    return Report((Finding(Code.IDENTITY, what), *_damage(paths)))


def _tableless(paths: LakePaths, identity: Identity, broker: TopicDescription | None, early: Sequence[Finding]) -> Report:
    findings = [*early, *_missing_table(paths, identity)]
    scope = offset_checks.scope_of(identity, {})
    if broker and not findings:
        findings += offset_checks.topic_against(scope, broker, broker)
    return Report(tuple(findings), (), Figures(behind=behind(findings), position=ends_of(scope)))


def _missing_table(paths: LakePaths, identity: Identity) -> Iterator[Finding]:
    """Find a table that is missing while the other has been written to; before that the lake is being created."""
    for missing, present in ((TICKS, QUARANTINE), (QUARANTINE, TICKS)):
        table = snapshot.view(paths, present)
        if table and not table.is_new:
            position = table.metadata.position if table.metadata else {}
            places = {partition: [OffsetRange(identity.start(partition), end)] for partition, end in position.items()}
            what = f"the table {paths.table(missing)} is missing, {paths.table(present).name} is not"
            yield Finding(Code.CORRUPT, what, places)


def _unsupported(pair: TablePair) -> Iterator[Finding]:
    for table in pair.tables:
        if table.reader > READER_VERSION:
            what = f"{table.folder} requires Delta reader version {table.reader}: its log may hide rows of its files"
            yield Finding(Code.CORRUPT, what)


def _wait_for(paths: LakePaths, broker: TopicDescription, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    while time.monotonic() < deadline:
        try:
            position = committed_offsets(paths.ticks)
        except DeltaError:
            return  # the snapshot reports it
        if not still_to_come(position, broker):
            return
        time.sleep(POLL_SECONDS)


def topic_findings(identity: Identity, topic: str, broker: TopicDescription | None) -> Iterator[Finding]:
    """Check that topic and broker are the lake's."""
    mismatches = list(accounting.other_topic(identity, topic))
    if broker and not mismatches:
        mismatches = list(accounting.topic_mismatches(identity, broker))
    yield from (Finding(Code.IDENTITY, mismatch.what) for mismatch in mismatches)


def table_findings(snapshot: TablePair) -> Iterator[Finding]:
    """Check that both tables belong to one lake."""
    mismatches = accounting.tables_of_two_lakes(snapshot.ticks.identity, snapshot.quarantine.identity)
    yield from (Finding(Code.IDENTITY, mismatch.what) for mismatch in mismatches)
