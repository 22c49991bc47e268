"""Correct lakes: verify must have no findings."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_job.tables import create_tables
from finance_storage.errors import NoLakeError
from finance_storage.lake_identity import Loss
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered
from tests.support.tampering import found, judge, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from finance_verify.verdict import Report


def test_a_correct_lake_is_complete(lake: BuiltLake) -> None:
    report = judge(lake)
    assert report.findings == ()
    assert report.code is Code.COMPLETE
    assert report.sentence() == (
        "complete: 0 lost, 0 doubled, 16 rows and 3 quarantined in 2 partitions up to 0:16,1:3; table version 3."
    )
    assert (report.figures.acknowledged, report.figures.unheard, report.figures.unacknowledged) == (15, 0, 0)


def test_a_new_lake_is_complete(tmp_path: Path) -> None:
    report = judge(BuiltLake(tmp_path))
    assert report.findings == ()
    assert report.figures.position == {0: 0}


@pytest.mark.parametrize("missing", [TICKS, QUARANTINE])
def test_a_lake_whose_creation_was_interrupted_is_complete_or_behind(tmp_path: Path, missing: str) -> None:
    lake = BuiltLake(tmp_path)
    for name in (TICKS, QUARANTINE):
        shutil.rmtree(lake.paths.table(name))
    create_tables(lake.paths, lake.identity)
    shutil.rmtree(lake.paths.table(missing))
    assert judge(lake).code is Code.COMPLETE
    lake.ends[0] = 7
    assert found(judge(lake)) == {Code.BEHIND: {0: [(0, 6)]}}


@pytest.mark.parametrize("values", [[GOOD], [BAD], [GOOD, BAD], [None], [b""]])
def test_a_lake_of_one_batch_is_complete(tmp_path: Path, values: list[bytes | None]) -> None:
    lake = BuiltLake(tmp_path)
    lake.store(values)
    assert judge(lake).findings == ()


def test_a_lake_of_one_larger_batch_is_complete(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store([GOOD] * 1000)
    assert judge(lake).figures.rows == 1000


def test_a_lake_of_many_batches_is_complete(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path, partitions=3)
    for batch in range(30):
        lake.store([*numbered(5, first=5 * batch), BAD][: batch % 7], partition=batch % 3)
    assert judge(lake).findings == ()


def test_a_lake_that_began_at_a_later_offset_is_complete(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path, first=100)
    lake.store(numbered(5))
    report = judge(lake)
    assert report.findings == ()
    assert report.figures.rows == 5


def test_a_partition_added_to_the_topic_is_complete(lake: BuiltLake) -> None:
    lake.ends[2] = 0
    lake.store([GOOD, GOOD], partition=2)
    assert judge(lake).findings == ()


@pytest.mark.parametrize("tables", [[], [QUARANTINE]])
def test_a_batch_under_way_is_not_a_finding(lake: BuiltLake, tables: list[str]) -> None:
    broker = lake.broker
    files = lake.write([GOOD, BAD, GOOD], 0, lake.plan(3))
    for name in tables:
        lake.commit(name, files)
    assert judge(lake, broker).findings == ()


def test_a_half_committed_batch_does_not_hide_what_is_missing_before_it(lake: BuiltLake) -> None:
    files = lake.write([GOOD, BAD, GOOD], 0, lake.plan(3))
    lake.commit(QUARANTINE, files)
    DeltaTable(str(lake.paths.quarantine)).delete("kafka_partition = 1 and kafka_offset = 1")
    assert found(judge(lake)) == {Code.GAP: {1: [(1, 1)]}, Code.BEHIND: {0: [(16, 18)]}}


def test_a_table_that_is_behind_reports_by_how_much(lake: BuiltLake) -> None:
    lake.ends[1] += 4
    report = judge(lake)
    assert found(report) == {Code.BEHIND: {1: [(3, 6)]}}
    assert report.figures.behind == 4
    assert "behind: 0 lost, 0 doubled, 4 still to come" in report.sentence()


def test_a_topic_that_grew_after_its_ends_were_read_is_not_a_finding(lake: BuiltLake) -> None:
    answers = [lake.broker]
    lake.store(numbered(5, first=15))
    answers.append(lake.broker)
    report = verify(lake.paths, VerifyContext(TOPIC, lambda: answers.pop(0), patience_seconds=0))
    assert report.findings == ()
    assert not answers


def test_known_losses_are_not_a_gap(lake: BuiltLake) -> None:
    lake.commit(TICKS, lake.write(numbered(5, first=20), 0, lake.plan(9) + 4))
    assert found(judge(lake)) == {Code.GAP: {0: [(16, 19)]}}
    lake.note_losses(Loss(0, 16, 20, "Kafka has removed them", "2026-11-24T12:00:00+00:00"))
    report = judge(lake)
    assert report.findings == ()
    assert any("4 offsets are known to be lost" in note for note in report.notes)


def test_acknowledged_ticks_among_known_losses_are_a_note(lake: BuiltLake) -> None:
    lake.commit(TICKS, lake.write(numbered(5, first=19), 0, lake.plan(9) + 4))
    lake.note_losses(Loss(0, 16, 20, "Kafka has removed them", "2026-11-24T12:00:00+00:00"))
    write_ledger(lake, {"acknowledged": [[0, 23]]})
    report = judge(lake)
    assert report.findings == ()
    assert any("seq 15-18" in note for note in report.notes)


def with_two_holes(lake: BuiltLake, offsets: int) -> Report:
    lake.plan(offsets)
    lake.commit(TICKS, lake.write([GOOD, GOOD], 0, 16), holes=2)
    return judge(lake)


def test_holes_of_transactional_producers_are_a_note(lake: BuiltLake) -> None:
    report = with_two_holes(lake, offsets=4)
    assert report.findings == ()
    assert any("no record for 2 offsets" in note for note in report.notes)


def test_a_hole_does_not_excuse_a_gap(lake: BuiltLake) -> None:
    report = with_two_holes(lake, offsets=5)
    assert found(report)[Code.GAP] == {0: [(18, 20)]}
    assert report.figures.lost == 1


def test_without_a_broker_the_files_alone_are_judged_and_a_note_says_so(lake: BuiltLake) -> None:
    lake.ends[1] += 4
    report = verify(lake.paths, VerifyContext(TOPIC, None))
    assert report.findings == ()
    assert any("only the files were checked" in note for note in report.notes)


def test_without_a_lake_the_error_names_the_commands_that_create_one(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    for name in (TICKS, QUARANTINE):
        shutil.rmtree(lake.paths.table(name))
    with pytest.raises(NoLakeError, match=r"`make local` or `make up`"):
        judge(lake)
