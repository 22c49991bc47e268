"""The writer: with other drivers, however late they wake, no row is written twice and the newest driver goes on."""

from __future__ import annotations

import random
import secrets
import shutil
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_job.transaction import Change, live_files
from finance_job.writer import FencedError, Writer
from finance_kafka.offsets import OffsetRange
from finance_storage.lake_identity import identity_of
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, GOOD, BuiltLake
from tests.support.tampering import judge

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.data_file import WrittenFile


def offsets(lake: BuiltLake) -> list[int]:
    tables = [DeltaTable(str(lake.paths.table(name))).to_pyarrow_table() for name in (TICKS, QUARANTINE)]
    return sorted(offset for table in tables for offset in table.column("kafka_offset").to_pylist())


def files_of(files: list[WrittenFile], name: str, start: int = 0, end: int = 0) -> Change:
    return Change.of([file for file in files if file.table == name], {0: OffsetRange(start, end)} if end else {})


def test_each_driver_raises_the_epoch_of_both_tables(lake: BuiltLake) -> None:
    for epoch in (1, 2):
        second = Writer(lake.paths, lake.identity)
        assert second.epoch == epoch
        assert {second.metadata(name).epoch for name in (TICKS, QUARANTINE)} == {epoch}
    assert second.position == {0: 6}
    assert judge(lake).findings == ()


@pytest.mark.parametrize("name", [QUARANTINE, TICKS])
def test_a_driver_that_wakes_late_is_refused_at_either_table(lake: BuiltLake, name: str) -> None:
    files = lake.write([GOOD, BAD], 0, 6)
    newer = Writer(lake.paths, lake.identity)
    with pytest.raises(FencedError, match="its epoch is 1, the epoch of this driver is 0"):
        lake.writer.commit(name, files_of(files, name, 6, 8))
    newer.commit(QUARANTINE, files_of(files, QUARANTINE, 6, 8))
    newer.commit(TICKS, files_of(files, TICKS, 6, 8))
    assert offsets(lake) == list(range(8))


def test_a_newer_driver_completes_the_half_batch_of_one_that_wakes_late(lake: BuiltLake) -> None:
    files, span = lake.write([GOOD, BAD, GOOD], 0, 6), {0: OffsetRange(6, 9)}
    lake.writer.commit(QUARANTINE, files_of(files, QUARANTINE, span[0].start, span[0].end))
    newer = Writer(lake.paths, lake.identity)
    assert newer.half_committed() == span
    with pytest.raises(FencedError):
        lake.writer.commit(TICKS, files_of(files, TICKS, span[0].start, span[0].end))
    newer.commit(TICKS, files_of(files, TICKS, span[0].start, span[0].end))
    assert newer.half_committed() == {}
    assert offsets(lake) == list(range(9))


def test_a_refused_driver_stays_refused(lake: BuiltLake) -> None:
    Writer(lake.paths, lake.identity)
    for _ in range(3):
        lake.writer.invalidate_cache()
        with pytest.raises(FencedError):
            lake.writer.commit(TICKS, files_of(lake.write([GOOD], 0, 6), TICKS, 6, 7))


def test_maintenance_of_a_driver_that_wakes_late_is_refused(lake: BuiltLake) -> None:
    table = lake.writer.table(TICKS)
    Writer(lake.paths, lake.identity)
    with pytest.raises(FencedError):
        lake.writer.compact(TICKS, [], live_files(table), "merged")
    assert offsets(lake) == list(range(6))


def test_a_driver_takes_over_while_another_commits(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    files, span = lake.write([GOOD], 0, 6), {0: OffsetRange(6, 7)}
    read, pending = Writer._read, [lambda: lake.writer.commit(TICKS, files_of(files, TICKS, span[0].start, span[0].end))]  # noqa: SLF001

    def read_before_the_other_commits(writer: Writer, name: str) -> object:
        opened = read(writer, name)
        if name == TICKS and writer is not lake.writer and hasattr(writer, "epoch") and pending:
            pending.pop()()
        return opened

    monkeypatch.setattr(Writer, "_read", read_before_the_other_commits)
    newer = Writer(lake.paths, lake.identity)
    assert not pending
    assert (newer.epoch, newer.position) == (1, {0: 7})
    assert offsets(lake) == list(range(7))


def test_one_of_two_drivers_that_start_together_goes_on(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    take_over, rivals = Writer._take_over, list[Writer]()  # noqa: SLF001

    def start_another_in_between(writer: Writer, name: str) -> None:
        if name == TICKS and not rivals:
            rivals.append(writer)
            rivals.append(Writer(lake.paths, lake.identity))
        take_over(writer, name)

    monkeypatch.setattr(Writer, "_take_over", start_another_in_between)
    with pytest.raises(FencedError):
        Writer(lake.paths, lake.identity)
    newer = rivals[1]
    newer.commit(TICKS, files_of(lake.write([GOOD], 0, 6), TICKS, 6, 7))
    assert offsets(lake) == list(range(7))


def test_another_writers_commit_in_between_does_not_stop_the_job(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).optimize.compact()
    lake.writer.commit(TICKS, files_of(lake.write([GOOD], 0, 6), TICKS, 6, 7))
    assert offsets(lake) == list(range(7))


def test_appends_are_blind_so_that_a_users_delete_does_not_conflict(lake: BuiltLake) -> None:
    stale = DeltaTable(str(lake.paths.ticks))
    lake.store([GOOD])
    stale.delete("kafka_offset = 0")
    assert offsets(lake) == [1, 2, 3, 4, 5, 6]


def test_the_identity_stays_with_the_table(lake: BuiltLake) -> None:
    for _ in range(3):
        Writer(lake.paths, lake.identity)
    assert identity_of(DeltaTable(str(lake.paths.quarantine))) == lake.identity


def test_drivers_that_stop_and_wake_at_random_write_each_record_once(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311
    lake = BuiltLake(tmp_path)
    topic = [chance.choice([GOOD, BAD]) for _ in range(400)]
    drivers = [lake.writer]
    for _ in range(60):
        if chance.random() < 0.2:
            drivers.append(Writer(lake.paths, lake.identity))
        driver = chance.choice(drivers)
        try:
            step(lake, driver, topic, chance)
        except FencedError:
            drivers.remove(driver)
            assert driver.epoch < max(other.epoch for other in drivers)
    position = Writer(lake.paths, lake.identity)
    while half := position.half_committed():
        finish(lake, position, topic, half[0])
    assert offsets(lake) == list(range(position.position[0]))
    assert position.position[0] > 50
    shutil.rmtree(tmp_path)


def step(lake: BuiltLake, driver: Writer, topic: list[bytes], chance: random.Random) -> None:
    """Store a batch as the sink does, and sometimes stop between its two commits."""
    if half := driver.half_committed():
        finish(lake, driver, topic, half[0])
        return
    start = driver.start(0)
    span = OffsetRange(start, min(start + chance.randrange(1, 8), len(topic)))
    files = lake.write(topic[span.start : span.end], 0, span.start)
    if bad := files_of(files, QUARANTINE).added:
        driver.commit(QUARANTINE, Change.of(bad, {0: span}))
        if chance.random() < 0.3:
            return
    driver.commit(TICKS, files_of(files, TICKS, span.start, span.end))


def finish(lake: BuiltLake, driver: Writer, topic: list[bytes], span: OffsetRange) -> None:
    files = lake.write(topic[span.start : span.end], 0, span.start)
    driver.commit(TICKS, files_of(files, TICKS, span.start, span.end))
