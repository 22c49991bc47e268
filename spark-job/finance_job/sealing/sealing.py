"""Sealing inside the job, between batches: write the manifest of each day that can get no more rows; commit that it is final.

A day is final when the clock is `GRACE` past its midnight and ticks have reached the end offsets that the broker had after that
moment. So partitions that are idle, or pass midnight at different times, need no special case. If a row of a sealed day arrives
all the same (a redrive, a broker whose clock jumps back), the commit that adds it opens the day again (`Writer.commit`). It is
sealed again in the same way, `GRACE` later.

A manifest is computed in steps of about a second beside the stream. Only the last check and the commit hold up a batch: the
table must still have the files that were read. Killed between manifest and commit, the next run finds a manifest that the log
does not confirm. It uses that one if it says the same, and writes the next revision otherwise.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from deltalake.exceptions import DeltaError

from finance_job.failpoint import hit
from finance_job.sealing.day_reader import counted
from finance_job.transaction import live_files
from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
from finance_storage import seals
from finance_storage.accounting import topic_mismatches
from finance_storage.delta_log import LogTail
from finance_storage.delta_table import add_actions, commits, open_table
from finance_storage.errors import UnreadableError, first_line
from finance_storage.files import literal
from finance_storage.lake_identity import CorruptStateError
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify import snapshot
from finance_verify.data_files import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from contextlib import AbstractContextManager

    from structlog.typing import FilteringBoundLogger

    from finance_job.writer import Writer
    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.paths import LakePaths
    from finance_storage.seals import Manifest
    from finance_verify.snapshot import TablePair

GRACE = timedelta(seconds=60)
LOOK_SECONDS = 30.0
BEHIND_SECONDS = 2.0  # until the next look, while ticks have not reached the end offsets
RETRY_SECONDS = 600.0  # after a day could not be sealed
MAX_DAYS = 100  # without ticks, sealed by one commit


def _now() -> datetime:
    return datetime.now(UTC)


class _Target(NamedTuple):
    """Days before `until` are final once ticks have reached `ends`, where the lake's partitions ended at a later moment."""

    until: date
    ends: Offsets


class Sealing:
    """Seals the days of a lake, a step at a time."""

    def __init__(  # noqa: PLR0913
        self,
        paths: LakePaths,
        writer: Writer,
        describe: Callable[[], TopicDescription],
        exclusively: Callable[[], AbstractContextManager[None]],
        log: FilteringBoundLogger,
        *,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        """Seal the lake at `paths`, whose topic `describe` describes.

        Inside `exclusively()` nothing else in this process writes the tables. `clock` returns the time in UTC.
        """
        self._paths = paths
        self._writer = writer
        self._describe = describe
        self._exclusively = exclusively
        self._log = log
        self._clock = clock
        self._tail = LogTail(paths.ticks)
        self._target: _Target | None = None
        self._sealed: date | None = None
        self._not_before = datetime.min.replace(tzinfo=UTC)
        self._work: Iterator[None] = iter(())
        self._next_look = time.monotonic()

    def step(self) -> None:
        """Run one step of the work that is due, if any. Raises FencedError, ConflictError."""
        try:
            for _ in self._work:
                return
            if time.monotonic() >= self._next_look:
                self._next_look = time.monotonic() + LOOK_SECONDS
                self._work = self._due()
        except (CorruptError, CorruptStateError, UnreadableError, DeltaError, OSError, ValueError) as error:
            self._work, self._next_look = iter(()), time.monotonic() + RETRY_SECONDS
            self._log.warning("a day cannot be sealed", reason=first_line(error), retry_in_seconds=RETRY_SECONDS)

    def all(self) -> None:
        """Seal all days that are final."""
        for _ in self._due():
            pass

    def _due(self) -> Iterator[None]:
        while (newest := self._newest()) and (until := self._final_until(newest)):
            if not (yield from self._seal_next(until)):
                return

    def _newest(self) -> CommitMetadata | None:
        """Return the metadata of the newest commit to ticks. Reads one small file, however long the log is."""
        version = self._tail.poll()
        newest = None if version is None else next(commits(self._paths.ticks, version), None)
        return newest.metadata if newest else None

    def _final_until(self, newest: CommitMetadata) -> date | None:
        """Return the day before which all days are final; None if no day became final since the last seal."""
        now = self._clock()
        if _is_earlier(newest.finalized_until, self._sealed):
            # A day was opened. What changed it may not be over: wait, then for the end offsets of that later moment.
            self._target, self._not_before = None, now + GRACE
        self._sealed, until = newest.finalized_until, (now - GRACE).date()
        if now < self._not_before:
            return None
        first = newest.finalized_until or _first_day(self._paths)
        if first is None or first >= until:
            return None
        if self._target is None or self._target.until <= first:
            self._target = self._ask(until)
        if self._target is None:
            return None
        if any(newest.position.get(number, 0) < end for number, end in self._target.ends.items()):
            self._next_look = time.monotonic() + BEHIND_SECONDS
            return None
        return self._target.until

    def _ask(self, until: date) -> _Target | None:
        try:
            broker = self._describe()
        except (BrokerUnavailableError, TopicNotFoundError):
            return None  # the stream reports it
        identity = self._writer.identity
        return None if any(topic_mismatches(identity, broker)) else _Target(until, identity.numbered(broker).end)

    def _seal_next(self, until: date) -> Generator[None, None, bool]:
        """Seal the next day with ticks before `until`, and the days before it; return whether the table was still the same."""
        started, pair = time.monotonic(), snapshot.open_tables(self._paths)
        if pair is None or not (days := _next_days(pair, until)):
            return False
        manifests = []
        for day in days:
            manifest = yield from self._manifest(pair, day)
            if manifest is None:
                return False
            manifests.append(manifest)
            yield
        with self._exclusively():
            if not self._is_unchanged(pair, days):
                return False
            hit("before-seal-commit")
            version = self._writer.seal(days[-1] + timedelta(days=1))
            hit("after-seal-commit")
        self._report(manifests, version, round(1000 * (time.monotonic() - started)))
        return True

    def _manifest(self, pair: TablePair, day: date) -> Generator[None, None, Manifest | None]:
        """Return the manifest of a day, which is published; None if another driver has taken over."""
        holes = pair.ticks.metadata.total.holes if pair.ticks.metadata else 0
        manifest = (yield from counted(pair, day, self._writer.identity)).manifest(self._clock(), holes)
        known = seals.revisions(self._paths, day)
        if known and (last := self._known(day, known[-1])) and last.says_the_same(manifest):
            return last
        # Checked after looking for revisions: a driver that is replaced only now gets no other number than its successor.
        if (newest := self._newest()) is None or newest.epoch != self._writer.epoch:
            return None
        manifest = msgspec.structs.replace(manifest, revision=1 + max(known, default=0))
        seals.publish(self._paths, manifest)
        return manifest

    def _known(self, day: date, revision: int) -> Manifest | None:
        try:
            return seals.read(self._paths, day, revision)
        except UnreadableError as error:
            self._log.warning("a manifest is damaged, the next revision replaces it", reason=str(error))
            return None

    def _is_unchanged(self, pair: TablePair, days: Sequence[date]) -> bool:
        """Whether the tables still have the rows of these days that were read. A redrive may have changed them."""
        ticks, quarantine = self._writer.metadata(TICKS), self._writer.metadata(QUARANTINE)
        before = pair.ticks.metadata
        moves = quarantine.redrives, quarantine.retractions
        if before is None or (before.finalized_until, pair.quarantine.moves) != (ticks.finalized_until, moves):
            return False
        names = {day.isoformat() for day in days}
        live = live_files(self._writer.table(TICKS))
        now = {literal(file.path) for file in live if file.partition_values.get("date") in names}
        is_moving = self._writer.half_redriven() or self._writer.half_retracted()
        return now == {file.name for file in pair.ticks.files if file.date in days} and not is_moving

    def _report(self, manifests: Sequence[Manifest], version: int, milliseconds: int) -> None:
        for manifest in manifests:
            self._log.info(
                "day sealed",
                date=manifest.date.isoformat(),
                revision=manifest.revision,
                rows=manifest.rows,
                verdict=manifest.verdict,
                version=version,
                ms=milliseconds,
            )


def _is_earlier(until: date | None, before: date | None) -> bool:
    return before is not None and (until is None or until < before)


def _first_day(paths: LakePaths) -> date | None:
    table = open_table(paths.ticks)
    days = add_actions(table).column("partition.date").to_pylist() if table else []
    return min((day for day in days if day), default=None)


def _next_days(pair: TablePair, until: date) -> list[date]:
    """Return the days to seal by one commit: the next one with ticks, and days without ticks before it."""
    with_ticks = {file.date for file in pair.ticks.files if file.date}
    sealed = pair.ticks.metadata.finalized_until if pair.ticks.metadata else None
    day = sealed or min(with_ticks, default=until)
    days: list[date] = []
    while day < until and len(days) < MAX_DAYS and not (days and days[-1] in with_ticks):
        days.append(day)
        day += timedelta(days=1)
    return days
