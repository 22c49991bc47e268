"""Days are sealed when they can get no more rows, and opened again by the commit that changes one of them."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import capture_logs

from finance_job.maintenance.compaction import Maintenance
from finance_job.repair.redrive import ALL, redrive
from finance_job.sealing import sealing
from finance_job.writer import Writer
from finance_kafka.describe import BrokerUnavailableError, TopicDescription
from finance_storage import digest, seals
from finance_storage.lake_identity import Loss
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.seals import SourceSeal, manifest_file
from finance_verify.verdict import Code
from tests.support.days import FIRST_DAY, Days, after_midnight, date_of, noon
from tests.support.lakes import BAD, GOOD, BuiltLake, numbered
from tests.support.tampering import judge
from tests.unit.job.test_redrive import LATER, strict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_job.sealing.sealing import Sealing

__all__ = ["strict"]  # a fixture

LOG = structlog.get_logger()


class Killed(BaseException):
    """Stands for kill -9 at a failpoint."""


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(BuiltLake(tmp_path, partitions=2))


def test_a_day_is_sealed_a_grace_after_its_midnight(days: Days) -> None:
    days.arrive([*numbered(5), BAD], 0)
    for seconds in (-3600, -60, -0.001):
        days.seal(after_midnight(0, seconds))
        assert days.until is None
    days.seal(after_midnight(0))
    assert days.until == date_of(1)
    (manifest,) = days.manifests()
    assert (manifest.rows, manifest.revision, manifest.verdict, manifest.complete) == (5, 1, "complete", True)
    assert manifest.quarantined == {"price_type": 1}
    assert manifest.sealed_at == after_midnight(0)
    assert judge(days.lake).code is Code.COMPLETE


def test_a_manifest_says_what_the_ticks_are(days: Days) -> None:
    days.arrive([*numbered(3), BAD, *numbered(3, first=5)], 0)
    days.arrive([GOOD, BAD], 0, partition=1)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert {number: (part.first, part.end, part.ticks, part.quarantined) for number, part in manifest.partitions.items()} == {
        0: (0, 7, 6, 1),
        1: (0, 2, 1, 1),
    }
    assert digest.to_text(digest.add([int(part.digest, 16) for part in manifest.partitions.values()])) == (
        days.lake.writer.metadata(TICKS).total.digest
    )
    source = manifest.sources["sim-1"]
    assert (source.ticks, source.first, source.last, source.missing, source.doubled) == (6, 0, 7, 2, 0)
    assert manifest.unlisted == 1
    assert sum(file.rows for file in manifest.files) == 7
    for file in manifest.files:
        path = days.lake.paths.ticks / f"date={manifest.date}" / file.name
        assert path.stat().st_size == file.bytes


def test_days_without_ticks_between_others_are_sealed_with_no_rows(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.arrive([GOOD, GOOD], 4)
    days.arrive([BAD], 2)
    days.seal(after_midnight(5))
    assert [manifest.rows for manifest in days.manifests()] == [1, 0, 0, 0, 2, 0]
    assert [manifest.quarantined for manifest in days.manifests()][2] == {"price_type": 1}
    assert all(manifest.complete for manifest in days.manifests())
    assert days.until == date_of(6)


def test_an_old_lake_is_sealed_a_date_a_commit(days: Days) -> None:
    for day in range(5):
        days.arrive([GOOD], day)
    version = days.lake.writer.table(TICKS).version()
    days.seal(noon(5))
    assert days.lake.writer.table(TICKS).version() == version + 5
    assert days.until == date_of(5)


def test_an_empty_lake_has_nothing_to_seal(days: Days) -> None:
    days.seal(noon(3))
    assert days.until is None
    assert not days.lake.paths.seals.exists()


def test_partitions_that_pass_midnight_at_different_times_are_waited_for(days: Days) -> None:
    days.arrive([GOOD] * 3, 0, partition=0)
    days.arrive([GOOD] * 2, 0, partition=1)
    days.lake.ends[1] += 4  # on the broker, and not stored yet
    days.seal(after_midnight(0))
    assert days.until is None
    days.lake.ends[1] -= 4
    days.arrive([GOOD], 1, partition=0)  # partition 0 is on the next day
    days.seal(after_midnight(0, 1))
    assert days.until is None
    days.arrive([GOOD] * 4, 0, partition=1)
    days.seal(after_midnight(0, 2))
    assert days.until == date_of(1)
    assert days.manifests()[0].rows == 9


def test_a_stream_that_never_catches_up_does_not_delay_a_seal(days: Days) -> None:
    """The end offsets that count are those of one moment after midnight, not the newest."""
    days.arrive([GOOD] * 3, 0)
    days.lake.ends[0] += 5
    days.seal(after_midnight(0))
    days.lake.ends[0] -= 5
    days.arrive([GOOD] * 5, 1)
    days.lake.ends[0] += 5  # more has arrived meanwhile
    days.seal(after_midnight(0, 5))
    assert days.until == date_of(1)


def test_end_offsets_from_before_the_grace_do_not_count(days: Days) -> None:
    asked = []

    def describe() -> TopicDescription:
        asked.append(days.now)
        return days.lake.broker

    days.arrive([GOOD], 0)
    days.describe = describe
    for seconds in (-61, -1, 0):
        days.seal(after_midnight(0, seconds))
    assert asked == [after_midnight(0)]


@pytest.mark.parametrize("fault", ["no broker", "another topic"])
def test_without_the_lakes_topic_no_day_is_sealed(days: Days, fault: str) -> None:
    def describe() -> TopicDescription:
        if fault == "no broker":
            raise BrokerUnavailableError("no broker answers")
        return TopicDescription(days.lake.identity.cluster, "another", {0: 0, 1: 0}, {0: 0, 1: 0})

    days.arrive([GOOD], 0)
    days.describe = describe
    days.seal(after_midnight(0))
    assert days.until is None


def test_nothing_is_written_while_there_is_nothing_to_seal(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    version = days.lake.writer.table(TICKS).version()
    for hour in range(20):
        days.seal(after_midnight(0) + timedelta(hours=hour))
    assert days.lake.writer.table(TICKS).version() == version


def test_later_commits_keep_what_is_sealed(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    days.arrive([GOOD, BAD], 1)
    days.lake.writer = Writer(days.lake.paths, days.lake.identity)  # another driver
    days.arrive([GOOD], 1)
    assert days.until == date_of(1)
    assert days.lake.writer.metadata(QUARANTINE).finalized_until is None


def test_a_broker_whose_clock_jumps_back_opens_the_day_in_the_same_commit(days: Days) -> None:
    for day in range(3):
        days.arrive([GOOD], day)
    days.seal(after_midnight(2))
    days.arrive([GOOD], 1)
    assert days.until == date_of(1)
    assert days.revisions() == {0: 1}
    days.seal(after_midnight(2, 30))
    days.arrive([GOOD], 1)
    for seconds in (40, 89):
        days.seal(after_midnight(2, seconds))
        assert days.until == date_of(1)  # it may not be over
    days.seal(after_midnight(2, 90))
    assert days.revisions() == {0: 1, 1: 2, 2: 1}
    assert [manifest.rows for manifest in days.manifests()] == [1, 3, 1]
    assert all(manifest.complete for manifest in days.manifests())
    assert days.manifests()[1].partitions[0].elsewhere == 1  # the record of day 2 between both


def test_a_jobs_clock_that_was_ahead_does_no_harm(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))  # the clock is a day ahead
    days.arrive([GOOD], 0)
    days.now = noon(0)
    days.start().all()
    assert days.until == date_of(0)
    days.seal(after_midnight(0, 1))
    assert days.revisions() == {0: 2}


def test_a_redrive_opens_the_day_and_a_compaction_does_not(days: Days, strict: Callable[[bool], None]) -> None:
    strict(True)  # noqa: FBT003
    days.arrive([GOOD, LATER, BAD], 0)
    for number in range(40):
        days.arrive(numbered(1, first=40 + number), 1)
    days.seal(after_midnight(1))
    maintenance = Maintenance(days.lake.paths, days.lake.writer, days.between_batches, LOG, lambda: date_of(2))
    maintenance.all()
    assert days.until == date_of(2)
    strict(False)  # noqa: FBT003
    days.lake.writer.invalidate_cache()
    assert redrive(days.lake.paths, days.lake.writer, ALL).moved == 1
    assert days.until == date_of(0)
    days.seal_again(after_midnight(1, 60))
    # The second day's ticks are in other files now, and the same: its manifest is still right.
    assert days.revisions() == {0: 2, 1: 1}
    assert days.manifests()[0].quarantined == {"price_type": 1}


def test_a_repair_opens_all_days_and_known_losses_are_accounted_for(days: Days) -> None:
    days.arrive([GOOD] * 4, 0)
    days.lake.plan(2)
    days.lake.commit(TICKS, [])
    days.arrive([GOOD] * 4, 0)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert (manifest.complete, manifest.verdict) == (False, "2 offsets are in neither table (partition 0: 4-5)")
    days.lake.note_losses(Loss(0, 4, 6, "gone", "2026-11-24T12:00:00+00:00"))
    assert days.until is None
    days.seal_again(after_midnight(0, 60))
    (manifest,) = days.manifests()
    assert (manifest.revision, manifest.verdict, manifest.partitions[0].lost) == (2, "complete", 2)


def test_offsets_without_a_record_do_not_make_a_day_incomplete(days: Days) -> None:
    days.arrive([GOOD] * 4, 0)
    days.lake.plan(2)
    days.lake.commit(TICKS, [], holes=2)
    days.arrive([GOOD] * 4, 0)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert (manifest.complete, manifest.verdict) == (True, "complete; Kafka has no record for 2 of the offsets")


def kill_at(monkeypatch: pytest.MonkeyPatch, days: Days, point: str) -> None:
    def die(name: str) -> None:
        if name == point:
            raise Killed

    monkeypatch.setattr(sealing, "hit", die)
    with pytest.raises(Killed):
        days.seal(after_midnight(0))
    monkeypatch.undo()
    days.lake.writer = Writer(days.lake.paths, days.lake.identity)
    days.start()


@pytest.mark.parametrize("changes", [0, 1])
def test_a_manifest_that_the_log_does_not_confirm_is_used_only_if_it_is_right(
    days: Days, changes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    days.arrive([GOOD], 0)
    kill_at(monkeypatch, days, "before-seal-commit")
    assert manifest_file(days.lake.paths, FIRST_DAY, 1).exists()
    assert days.until is None
    assert days.manifests() == []
    if changes:
        days.arrive([GOOD], 0)
    days.seal(after_midnight(0, 60))
    assert days.revisions() == {0: 2 if changes else 1}
    assert days.manifests()[0].rows == 1 + changes
    assert days.manifests()[0].sealed_at == after_midnight(0, 60 if changes else 0)


def test_a_kill_after_the_commit_leaves_the_day_sealed(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    days.arrive([GOOD], 0)
    kill_at(monkeypatch, days, "after-seal-commit")
    assert days.revisions() == {0: 1}
    days.seal(after_midnight(0, 60))
    assert days.revisions() == {0: 1}


def test_a_damaged_manifest_that_was_not_confirmed_gets_a_successor(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    days.arrive([GOOD], 0)
    kill_at(monkeypatch, days, "before-seal-commit")
    manifest_file(days.lake.paths, FIRST_DAY, 1).write_text("{")
    with capture_logs() as logs:
        days.seal(after_midnight(0, 60))
    assert days.revisions() == {0: 2}
    assert [entry["event"] for entry in logs] == ["a manifest is damaged, the next revision replaces it", "day sealed"]


def in_mid_manifest(days: Days) -> Sealing:
    """Let a day pass, and stop while its manifest is computed."""
    days.arrive([GOOD], 0)
    days.now = after_midnight(0)
    steps(days.sealing, 3)
    return days.sealing


def steps(sealing: Sealing, count: int) -> None:
    for _ in range(count):
        sealing.step()


def test_a_day_that_changes_while_its_manifest_is_computed_is_not_sealed(days: Days) -> None:
    sealer = in_mid_manifest(days)
    days.arrive([GOOD], 0)
    steps(sealer, 20)
    assert days.until is None
    days.sealing.all()
    assert days.manifests()[0].rows == 2


def test_a_driver_that_was_replaced_writes_no_manifest(days: Days) -> None:
    sealer = in_mid_manifest(days)
    successor = Days(days.lake)
    days.lake.writer = Writer(days.lake.paths, days.lake.identity)
    successor.start()
    steps(sealer, 20)
    assert not days.lake.paths.seals.exists()
    successor.seal(after_midnight(0))
    assert successor.revisions() == {0: 1}


def test_a_damaged_file_leaves_its_day_open_with_a_sentence(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.lake.files(TICKS)[0].write_bytes(b"x")
    days.now = after_midnight(0)
    with capture_logs() as logs:
        days.sealing.step()
        days.sealing.step()
    assert days.until is None
    assert [entry["event"] for entry in logs] == ["a day cannot be sealed"]
    assert "has 1 bytes" in logs[0]["reason"]


def test_a_link_in_the_place_of_the_manifests_is_not_followed(days: Days, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    os.symlink(elsewhere, days.lake.paths.seals)  # noqa: PTH211
    days.arrive([GOOD], 0)
    days.now = after_midnight(0)
    with capture_logs() as logs:
        for _ in range(20):
            days.sealing.step()
    assert "a symbolic link" in logs[0]["reason"]
    assert not list(elsewhere.iterdir())
    assert days.until is None


def test_numbers_and_sources_from_producers_cost_bounded_memory(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finance_job.sealing.day.SEQUENCE_BYTES", 1 << 18)  # two chunks
    for number in (0, 1, 2**40, 2**62):
        days.arrive([b'{"symbol": "AAPL", "price": 1, "source": "sim-1", "seq": %d}' % number], 0)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert manifest.sources == {"sim-1": SourceSeal(4, 0, 2**62, None, None)}
    assert manifest.complete


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 0, 1, 3)])
def test_the_sources_that_are_listed_do_not_depend_on_the_order(
    days: Days, order: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finance_job.sealing.day.MAX_SOURCES", 3)
    for source in order:
        days.arrive(numbered(source + 1, source=f"sim-{source}"), 0)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert {name: source.ticks for name, source in manifest.sources.items()} == {"sim-0": 1, "sim-1": 2, "sim-2": 3}
    assert manifest.unlisted == 9


def test_too_many_offsets_to_count_are_no_complete_day(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finance_job.sealing.day.OFFSET_BYTES", 0)
    days.arrive([GOOD, BAD], 0)
    days.seal(after_midnight(0))
    (manifest,) = days.manifests()
    assert (manifest.complete, manifest.verdict) == (False, "there are too many offsets to count")


def test_the_revisions_of_a_day_are_numbers(days: Days) -> None:
    folder = manifest_file(days.lake.paths, FIRST_DAY, 1).parent
    folder.mkdir(parents=True)
    for name in ("1.json", "10.json", "9.json", "0.json", "01.json", "x.json", ".2.json.new", "3.txt"):
        (folder / name).touch()
    assert seals.revisions(days.lake.paths, FIRST_DAY) == [1, 9, 10]


def test_a_published_manifest_is_never_replaced(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    path = manifest_file(days.lake.paths, FIRST_DAY, 1)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        seals.publish(days.lake.paths, days.manifests()[0])
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["1.json"]


def test_sealing_is_in_steps(days: Days) -> None:
    for day in range(3):
        days.arrive([GOOD], day)
    days.now = noon(3)
    seen = []
    for _ in range(40):
        days.sealing.step()
        seen.append(days.until)
    assert seen[:2] == [None, None]
    assert seen[-1] == date_of(3)
    assert sorted({day for day in seen if day}) == [date_of(1), date_of(2), date_of(3)]
