"""A redrive under way moves rows between the tables: for a while they are in both, which is not a finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from deltalake import DeltaTable

from finance_job.writer import Writer
from finance_storage import digest, offset_set
from finance_storage.delta_table import newest_metadata
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify import snapshot
from finance_verify.verdict import Code
from tests.support.lakes import GOOD, BuiltLake
from tests.support.tampering import drop, found, judge

if TYPE_CHECKING:
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.offset_set import OffsetSet


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "REST_SECONDS", 0.0)


def record(lake: BuiltLake, name: str, rows: int, of_rows: int, redriven: OffsetSet | None = None) -> CommitMetadata:
    before = newest_metadata(DeltaTable(str(lake.paths.table(name))), lake.paths.table(name))
    assert before is not None
    return msgspec.structs.replace(
        before,
        sequence=before.sequence + 1,
        offsets={},
        rows={1: rows},
        digest=digest.to_text(digest.add([of_rows])),
        total=before.total.plus(rows, of_rows),
        redrives=before.redrives + 1,
        redriven=redriven or {},
    )


def append_to_ticks(lake: BuiltLake, *offsets: int, named: tuple[int, ...] | None = None) -> None:
    """Do the first half of a redrive of partition 1; its commit names these offsets, or `named` if given."""
    files = [file for offset in offsets for file in lake.write([GOOD], 1, offset)]
    redriven = offset_set.spans_of({1: np.array(offsets if named is None else named, np.int64)})
    lake.append(TICKS, files, record(lake, TICKS, len(files), digest.add([file.digest for file in files]), redriven))


def take_out_of_quarantine(lake: BuiltLake, *offsets: int) -> None:
    """Do the second half of a redrive."""
    from finance_storage.data_file import WrittenFile  # noqa: F401, PLC0415

    before = quarantined(lake)
    drop(lake, QUARANTINE, 1, *offsets)
    removed = before - quarantined(lake)
    lake.append(QUARANTINE, [], record(lake, QUARANTINE, -len(offsets), -removed))


def quarantined(lake: BuiltLake) -> int:
    import pyarrow.parquet as pq  # noqa: PLC0415

    return sum(digest.digest_of(pq.ParquetFile(path).read()) for path in lake.files(QUARANTINE))


def test_a_redrive_between_its_two_commits_is_complete(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1, 2)
    report = judge(lake)
    assert report.findings == ()
    assert (report.figures.rows, report.figures.quarantined) == (18, 1)
    assert any("2 rows are in both tables and count once" in note for note in report.notes)


def test_a_redrive_that_has_ended_is_complete(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1)
    take_out_of_quarantine(lake, 1)
    report = judge(lake)
    assert report.findings == ()
    assert (report.figures.rows, report.figures.quarantined) == (17, 2)


def test_a_redrive_excuses_only_the_offsets_that_it_names(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1, 2, named=(1,))
    assert found(judge(lake)) == {Code.DUPLICATE: {1: [(2, 2)]}}


def test_a_redrive_that_has_ended_excuses_nothing(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1)
    take_out_of_quarantine(lake, 1)
    lake.append(TICKS, lake.write([GOOD], 1, 1))
    assert found(judge(lake))[Code.DUPLICATE] == {1: [(1, 1)]}


def test_rows_in_both_tables_without_a_redrive_are_duplicates(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1, 2, named=())
    report = judge(lake)
    assert report.code is Code.DUPLICATE
    assert found(report) == {Code.DUPLICATE: {1: [(1, 2)]}}


def test_a_driver_that_takes_over_keeps_the_state_of_an_unfinished_redrive(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1, 2)
    writer = Writer(lake.paths, lake.identity)
    assert offset_set.count(writer.half_redriven()) == 2
    assert judge(lake).findings == ()


def test_a_redrive_that_ends_between_opening_the_tables_is_read_again(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    append_to_ticks(lake, 1, named=())  # as if it had ended, and the quarantine had been opened before

    def rest(_: float) -> None:
        if len(DeltaTable(str(lake.paths.quarantine)).history()) < 4:
            take_out_of_quarantine(lake, 1)

    monkeypatch.setattr("time.sleep", rest)
    assert judge(lake).findings == ()


def test_after_a_redrive_the_place_of_an_alteration_is_reported_as_a_guess(lake: BuiltLake) -> None:
    append_to_ticks(lake, 1)
    take_out_of_quarantine(lake, 1)
    from tests.support.tampering import rewrite  # noqa: PLC0415
    from tests.unit.verify.test_tampered import swapped  # noqa: PLC0415

    rewrite(lake, TICKS, swapped("price"))
    report = judge(lake)
    assert report.code is Code.ALTERED
    assert (11, 15) in found(report)[Code.ALTERED][0]
    assert "the place is a guess" in report.findings[0].what
