"""Verify a snapshot: read its rows once, then check all the sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from finance_storage import offset_set
from finance_storage.accounting import ahead
from finance_verify import digest_checks, offset_checks
from finance_verify.digest_checks import CommitSpanSums, commit_spans
from finance_verify.offset_checks import FOLDERS, behind, ends_of, lost_in
from finance_verify.retracted import Retracted
from finance_verify.scan import Fingerprints, Sum, scan
from finance_verify.sequences import DuplicateSearch, Excuses, Sequences, producer_findings
from finance_verify.values import Comparison
from finance_verify.verdict import Code, Figures, Finding, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from finance_kafka.describe import TopicDescription
    from finance_storage.lake_identity import Identity
    from finance_storage.ledger import Ledgers
    from finance_verify.context import VerifyContext
    from finance_verify.offset_checks import Counted
    from finance_verify.scan import Flaw, Scope
    from finance_verify.sequences import Judged, Places
    from finance_verify.snapshot import TablePair, TableView


# If found before any row is read, the tables may lack acknowledged ticks through no fault of a producer.
TO_COME = frozenset({Code.IDENTITY, Code.GAP, Code.BEHIND})


class Evidence(NamedTuple):
    """The inputs of a verification, collected in this order: the ledgers first and the snapshot last.

    `broker` has the lake's partitions.
    """

    ledgers: Ledgers
    broker: TopicDescription | None
    identity: Identity
    snapshot: TablePair


class _Read(NamedTuple):
    """A table, the sums over its rows, and its damaged files."""

    view: TableView
    sum: Sum
    flaws: list[Flaw]


class _Result(NamedTuple):
    """Both tables, the number of rows that a move has in both, the result of counting offsets, and retracted rows."""

    ticks: _Read
    quarantine: _Read
    moving: int
    counted: Counted
    retracted: Retracted


class Verifier:
    """The verification of one snapshot."""

    def __init__(self, evidence: Evidence, context: VerifyContext) -> None:
        """Read nothing yet."""
        self._evidence = evidence
        self._context = context
        metadata = evidence.snapshot.ticks.metadata
        self._holes = metadata.total.holes if metadata else 0
        self._scope: Scope = offset_checks.scope_of(evidence.identity, metadata.position if metadata else {})
        self._position = ends_of(self._scope)
        self._rows = sum(table.rows for table in evidence.snapshot.tables)
        self._read = 0
        self._is_early = False
        self._notes: list[str] = []

    def report(self, early: Sequence[Finding]) -> Report:
        """Read the rows and return the report; `early` are the findings so far."""
        findings = [*early, *self._against_topic(early)]
        self._is_early = self._evidence.broker is None or any(finding.code in TO_COME for finding in findings)
        if wide := offset_checks.too_wide(self._scope, self._rows, self._evidence.identity.losses):
            return Report(
                (*findings, wide), (), Figures(position=self._position, version=self._evidence.snapshot.ticks.version)
            )
        fingerprints = Fingerprints(self._scope) if self._context.read_topic else None
        excused = self._evidence.identity.excused_spans
        sequences = Sequences(self._evidence.ledgers, self._rows + offset_checks.MAX_MISSING, excused)
        result = self._result(sequences, fingerprints)
        for table in (result.ticks, result.quarantine):
            findings += [*_flawed(table), *self._altered(table, result.counted)]
        findings += result.counted.findings
        if fingerprints:
            findings += self._compared(fingerprints, result)
        judged = sequences.judge()
        places = self._doubled(result.ticks.view, judged)
        findings += self._producers(judged, sequences.wrong(), self._excuses(result, findings), places)
        self._note(result)
        return Report(tuple(findings), tuple(self._notes), self._figures(result, judged, behind(findings)))

    def _result(self, sequences: Sequences, fingerprints: Fingerprints | None) -> _Result:
        snapshot = self._evidence.snapshot
        ticks = self._scanned(snapshot.ticks, Sum(self._scope, {}, sequences, fingerprints))
        retracted = Retracted(sequences, snapshot.moving)
        quarantine = self._scanned(snapshot.quarantine, Sum(self._scope, self._ahead(), retracted, fingerprints))
        moving = offset_checks.release(snapshot.moving, ticks.sum.coverage, quarantine.sum.coverage)
        return _Result(ticks, quarantine, moving, self._counted(ticks, quarantine), retracted)

    def _against_topic(self, early: Sequence[Finding]) -> Iterator[Finding]:
        broker = self._evidence.broker
        if broker and self._context.ask and not any(finding.code is Code.IDENTITY for finding in early):
            beyond = any(end > broker.end.get(partition, 0) for partition, end in self._position.items())
            # The topic grows while tables are opened: query it again before reporting that they are beyond its end.
            now = self._evidence.identity.numbered(self._context.ask()) if beyond else broker
            yield from offset_checks.topic_against(self._scope, broker, now)

    def _ahead(self) -> Scope:
        """Return the offsets of batches that only the quarantine contains yet."""
        metadata = self._evidence.snapshot.quarantine.metadata
        return ahead(self._position, metadata.position, self._evidence.identity) if metadata else {}

    def _scanned(self, view: TableView, total: Sum) -> _Read:
        return _Read(view, total, scan(view, total.add, self._advance))

    def _advance(self, rows: int) -> None:
        self._read += rows
        self._context.advance(self._read, self._rows)

    def _counted(self, ticks: _Read, quarantine: _Read) -> Counted:
        flaws = [*ticks.flaws, *quarantine.flaws]
        return offset_checks.count_offsets(ticks.sum, quarantine.sum, self._evidence.identity.losses, flaws, self._holes)

    def _altered(self, table: _Read, counted: Counted) -> Iterator[Finding]:
        name = table.view.name
        if digest_checks.differs(table.sum, digest_checks.expected_of(table.view, self._position)):
            attribution = commit_spans(self._scope, digest_checks.commits_at(table.view, self._position))
            sums = CommitSpanSums(attribution)
            scan(table.view, sums.add, lambda _: None)
            is_complete = not counted.findings and not table.flaws
            yield from digest_checks.altered_commits(name, attribution, sums.differing(), is_complete=is_complete)
        yield from digest_checks.misdatings(name, table.sum)

    def _compared(self, stored: Fingerprints, result: _Result) -> Iterator[Finding]:
        broker, identity = self._evidence.broker, self._evidence.identity
        if self._context.read_topic is None or self._context.ask is None or broker is None:
            return
        good, bad = result.ticks, result.quarantine
        coverage = {partition: (good.sum.coverage[partition], bad.sum.coverage[partition]) for partition in self._scope}
        comparison = Comparison(good.view.columns, bad.view.columns, stored, coverage, result.retracted.places)
        for records in self._context.read_topic(offset_checks.still_there(self._scope, broker), identity.base):
            comparison.add(records)
        self._notes.append(f"{comparison.count:,} records were read from the topic again and compared with their rows")
        yield from comparison.findings(identity.numbered(self._context.ask()).first, broker.end)

    def _excuses(self, result: _Result, findings: Sequence[Finding]) -> Excuses:
        identity, counted = self._evidence.identity, result.counted
        # Sequence numbers in altered rows prove nothing about the producer.
        altered = result.ticks.sum.rows if any(finding.code is Code.ALTERED for finding in findings) else 0
        absent = sum(identity.first.values()) + lost_in(identity.losses) + counted.lost + counted.unreadable
        return Excuses(missing=absent + altered, doubled=counted.doubled + altered, is_early=self._is_early)

    def _doubled(self, ticks: TableView, judged: Mapping[str, Judged]) -> Places:
        """Find the places of duplicate numbers. This needs a second scan, done only if there are duplicates."""
        doubles = DuplicateSearch(judged, self._evidence.identity.excused_spans)
        if doubles.found:
            scan(ticks, doubles.add, lambda _: None)
        return doubles.found

    def _producers(
        self, judged: Mapping[str, Judged], wrong: Sequence[str], excuses: Excuses, places: Places
    ) -> Iterator[Finding]:
        findings, notes = producer_findings(judged, excuses, places)
        self._notes += notes
        yield from findings
        yield from (Finding(Code.PRODUCER, what) for what in wrong)

    def _note(self, result: _Result) -> None:
        if self._evidence.broker is None:
            self._notes.append(
                "only the files were checked: the broker was not queried for the topic's identity and end offsets"
            )
        if result.moving:
            self._notes.append(
                f"a redrive or a retraction is under way: {result.moving:,} rows are in both tables and count once, as ticks"
            )
        if result.retracted.rows:
            self._notes.append(
                f"{result.retracted.rows:,} ticks are retracted: `financelake forget` has moved them to the quarantine"
            )
        if result.counted.holes:
            holes = f"Kafka had no record for {result.counted.holes:,} offsets"
            self._notes.append(f"{holes}: transactional producers leave such holes and are not supported")
        if excused := self._evidence.identity.excused_spans:
            what = f"{offset_set.count(excused):,} ticks are excused by name; their numbers do not count for their source"
            self._notes.append(f"{what} ({offset_set.text(excused)})")
        if lost := lost_in(self._evidence.identity.losses):
            self._notes.append(
                f"{lost:,} offsets are known to be lost (the reasons are in the property `financelake.identity`)"
            )

    def _figures(self, result: _Result, judged: Mapping[str, Judged], late: int) -> Figures:
        return Figures(
            rows=result.ticks.sum.rows,
            quarantined=result.quarantine.sum.rows - result.moving,
            lost=result.counted.lost,
            doubled=result.counted.doubled,
            unreadable=result.counted.unreadable,
            behind=late,
            position=self._position,
            version=result.ticks.view.version,
            acknowledged=sum(source.acknowledged for source in judged.values()),
            unacknowledged=sum(source.unacknowledged for source in judged.values()),
            unheard=sum(source.missing for source in judged.values()),
            excused=offset_set.count(self._evidence.identity.excused_spans),
        )


def _flawed(table: _Read) -> Iterator[Finding]:
    for flaw in table.flaws:
        file = f"{FOLDERS[table.view.name]}/{flaw.file.name}"
        yield Finding(Code.CORRUPT, f"{file} {flaw.what}", flaw.file.places)
