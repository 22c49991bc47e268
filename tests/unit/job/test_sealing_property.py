"""Whatever happens to a lake, no row of a sealed day changes without the same commit opening the day, and a new revision after.

Real commits on temporary tables: batches over several days, a broker whose clock jumps back, redrives, recoveries, compactions,
other drivers, seals, and kills between a manifest and its commit.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Reason, decode
from finance_job.maintenance import compaction_plan
from finance_job.maintenance.compaction import Maintenance
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import make_plan
from finance_job.repair.redrive import ALL, redrive
from finance_job.sealing import sealing
from finance_job.writer import Writer
from finance_kafka.offsets import OffsetRange
from finance_storage import digest
from finance_storage.delta_table import commits
from finance_storage.schemas import TICK_FIELDS
from finance_verify.verdict import Code
from tests.support.days import LOG, Days, Row, date_of, noon, rows_at
from tests.support.lakes import BAD, GOOD, RECORDS, TOPIC, BuiltLake
from tests.support.tampering import judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date, datetime

    from finance_contract import Tick
    from finance_storage.seals import Manifest

LATER = b'{"symbol": "LATER", "price": 5}'
DAYS = 4
PARTITIONS = 2

arrivals = st.tuples(
    st.just("arrive"),
    st.integers(0, DAYS - 1),
    st.integers(0, PARTITIONS - 1),
    st.lists(st.sampled_from([GOOD, GOOD, BAD, LATER]), min_size=1, max_size=4),
)
others = st.tuples(st.sampled_from(["seal", "seal", "kill", "compact", "redrive", "recover", "restart"]), st.integers(0, DAYS))
stories = st.lists(st.one_of(arrivals, others), min_size=4, max_size=14)


class Killed(BaseException):
    """Stands for kill -9 at a failpoint."""


def strictly(value: bytes | None) -> Tick:
    """Decode by old rules, which the symbol LATER breaks."""
    tick = decode(value)
    if tick.symbol == "LATER":
        raise Malformed(Reason.SYMBOL_INVALID, "not yet")
    return tick


class Story:
    """A lake to which things happen, and what is known of it at each version."""

    def __init__(self, root: Path) -> None:
        self.days = Days(BuiltLake(root, partitions=PARTITIONS))
        self.records: dict[int, list[tuple[bytes, datetime]]] = {partition: [] for partition in range(PARTITIONS)}
        self.version = 0
        self.rows: set[Row] = set()
        self.until: date | None = None
        self.sealed: dict[tuple[date, int], Mapping[int, str]] = {}

    def arrive(self, day: int, partition: int, values: list[bytes]) -> None:
        self.records[partition] += [(value, noon(day)) for value in values]
        with mock.patch("finance_job.decode.decode", strictly):
            self.days.arrive(values, day, partition)

    def seal(self, day: int) -> None:
        self.days.seal_again(noon(day))

    def kill(self, day: int) -> None:
        with mock.patch.object(sealing, "hit", side_effect=Killed):
            try:
                self.days.seal_again(noon(day))
            except Killed:
                self.restart(0)

    def compact(self, day: int) -> None:
        days = self.days
        with mock.patch.object(compaction_plan, "MIN_FILES_TO_COMPACT", 2):
            Maintenance(days.lake.paths, days.lake.writer, days.between_batches, LOG, lambda: date_of(day)).all()

    def redrive(self, _: int) -> None:
        with self.days.between_batches():
            redrive(self.days.lake.paths, self.days.lake.writer, ALL)

    def recover(self, number: int) -> None:
        lake = self.days.lake
        altered = {0: [OffsetRange(number, number + 2)]} if lake.ends[0] >= number + 2 else {}
        plan = make_plan(lake.paths, TOPIC, lake.broker, {}, altered)
        if not plan.is_idle:
            lake.identity = Recovery(lake.paths, partial(self._replay), plan, lambda _: None).run()
        self.restart(0)

    def restart(self, _: int) -> None:
        self.days.lake.writer = Writer(self.days.lake.paths, self.days.lake.identity)
        self.days.start()

    def _replay(self, ranges: Mapping[int, OffsetRange]) -> Iterator[pa.RecordBatch]:
        for partition, span in ranges.items():
            for offset in range(span.start, span.end):
                value, arrived = self.records[partition][offset]
                row = {"key": b"AAPL", "value": value, "partition": partition, "offset": offset, "timestamp": arrived}
                yield pa.RecordBatch.from_pylist([row], RECORDS)

    def check(self) -> None:
        """Check each commit since the last check, and the manifests of what is sealed now."""
        lake = self.days.lake
        newest = DeltaTable(str(lake.paths.ticks)).version()
        untils = {commit.version: commit.metadata.finalized_until for commit in commits(lake.paths.ticks, newest)}
        for version in range(self.version + 1, newest + 1):
            rows, until = rows_at(lake, version), untils.get(version, self.until)
            changed = {row.date for row in rows ^ self.rows}
            assert not changed or until is None or min(changed) >= until
            self.rows, self.until = rows, until
        self.version = newest
        for manifest in self.days.manifests():
            self._check(manifest)

    def _check(self, manifest: Manifest) -> None:
        content = digests(self.days.lake, manifest.date)
        assert {number: part.digest for number, part in manifest.partitions.items() if part.ticks} == content
        # The same revision always says the same.
        assert self.sealed.setdefault((manifest.date, manifest.revision), content) == content
        assert manifest.complete, manifest.verdict


def digests(lake: BuiltLake, day: date) -> dict[int, str]:
    """Return the digest of a day's ticks by partition, read with another reader than the job's."""
    table = DeltaTable(str(lake.paths.ticks)).to_pyarrow_table()
    rows = table.filter(pc.equal(table.column("date"), pa.scalar(day))).select(TICK_FIELDS.names).cast(TICK_FIELDS)
    partitions = set(rows.column("kafka_partition").to_pylist())
    of = {number: rows.filter(pc.equal(rows.column("kafka_partition"), number)) for number in partitions}
    return {number: digest.to_text(digest.digest_of(part)) for number, part in of.items()}


def tell(story: Story, events: list[tuple[object, ...]]) -> None:
    for name, *arguments in events:
        happen: Callable[..., None] = getattr(story, str(name))
        happen(*arguments)
        story.check()


@settings(max_examples=12, deadline=None)
@given(stories)
def test_no_row_of_a_sealed_day_changes_without_a_new_revision(events: list[tuple[object, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        tell(story, events)
        tell(story, [("seal", DAYS)])
        if story.rows:
            assert story.until == date_of(DAYS)
            first = min(row.date for row in story.rows)
            assert {manifest.date for manifest in story.days.manifests()} >= {first, date_of(DAYS - 1)}
        assert judge(story.days.lake).code is Code.COMPLETE


def test_a_story_with_everything(tmp_path: Path) -> None:
    story = Story(tmp_path)
    batch = [GOOD, BAD, LATER, GOOD]
    tell(story, [("arrive", 0, 0, batch), ("arrive", 1, 1, batch), ("kill", 1), ("seal", 2)])
    assert story.days.revisions() == {0: 1, 1: 1}
    tell(story, [("arrive", 0, 1, batch)])
    assert story.until == date_of(0)
    tell(story, [("seal", 2), ("arrive", 2, 0, batch), ("compact", 2)])
    assert story.days.revisions() == {0: 2, 1: 1}
    tell(story, [("redrive", 0)])
    assert story.until == date_of(0)
    tell(story, [("kill", 3), ("arrive", 0, 0, [GOOD]), ("seal", 3)])
    assert story.days.revisions() == {0: 4, 1: 2, 2: 1}
    tell(story, [("recover", 0)])
    assert story.until is None
    tell(story, [("seal", 3)])
    assert story.days.revisions() == {0: 4, 1: 2, 2: 1}
