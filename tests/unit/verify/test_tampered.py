"""Rows that were dropped, duplicated, moved or changed by another writer: the code and the place."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from finance_kafka.offsets import OffsetRange
from finance_storage.data_file import write_data_file
from finance_storage.delta_table import newest_metadata
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import BAD, GOOD, BuiltLake, numbered
from tests.support.tampering import DATE, add, at, double, drop, found, judge, rewrite, set_column

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_storage.commit_metadata import CommitMetadata


# ---- dropped ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 3, 9, 11, 15])
def test_a_dropped_row_is_a_gap_at_its_offset(lake: BuiltLake, offset: int) -> None:
    drop(lake, TICKS, 0, offset)
    report = judge(lake)
    assert found(report)[Code.GAP] == {0: [(offset, offset)]}
    assert report.code is Code.GAP
    assert report.pipeline is Code.GAP
    assert report.producer is Code.COMPLETE
    assert report.figures.lost == 1


def test_ranges_of_dropped_rows_are_joined(lake: BuiltLake) -> None:
    drop(lake, TICKS, 0, 2, 3, 4, 9, 11)
    drop(lake, QUARANTINE, 0, 10)
    assert found(judge(lake)) == {Code.GAP: {0: [(2, 4), (9, 11)]}}


def test_a_row_that_was_deleted_with_deltalake_is_a_gap(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).delete("kafka_offset = 3 and kafka_partition = 0")
    assert found(judge(lake)) == {Code.GAP: {0: [(3, 3)]}}


def test_all_rows_deleted_is_a_gap_of_all_of_them(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).delete()
    assert found(judge(lake)) == {Code.GAP: {0: [(0, 9), (11, 15)], 1: [(0, 0)]}}


def test_a_removed_row_of_the_quarantine_is_a_gap(lake: BuiltLake) -> None:
    drop(lake, QUARANTINE, 1, 2)
    assert found(judge(lake)) == {Code.GAP: {1: [(2, 2)]}}


def test_a_table_that_was_restored_is_a_gap(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).restore(1)
    report = judge(lake)
    assert report.code is Code.GAP
    assert found(report)[Code.GAP] == {0: [(11, 15)], 1: [(0, 0)]}


def test_all_gaps_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store([GOOD] * 200)
    drop(lake, TICKS, 0, *range(0, 200, 2))
    report = judge(lake)
    assert report.figures.lost == 100
    assert found(report)[Code.GAP] == {0: [(offset, offset) for offset in range(0, 40, 2)]}


# ---- duplicated, foreign ------------------------------------------------------------------------------------------------


def test_a_duplicated_row_is_a_duplicate_at_its_offset(lake: BuiltLake) -> None:
    double(lake, TICKS, 0, 3, 4)
    report = judge(lake)
    assert found(report) == {Code.DUPLICATE: {0: [(3, 4)]}}
    assert report.code is Code.DUPLICATE
    assert report.figures.doubled == 2
    assert "finance_delta more than once" in report.findings[0].what


def test_a_row_that_occurs_300_times_is_not_a_gap(lake: BuiltLake) -> None:
    rewrite(lake, TICKS, lambda rows: pa.concat_tables([rows] + [rows.filter(at(rows, 0, 3))] * 299))
    report = judge(lake)
    assert found(report) == {Code.DUPLICATE: {0: [(3, 3)]}}
    assert report.figures.doubled == 299


def test_a_file_that_was_committed_again_duplicates_its_rows(lake: BuiltLake) -> None:
    (file,) = (path for path in lake.files(TICKS) if pq.ParquetFile(path).metadata.num_rows == 5)
    copy = write_data_file(pq.ParquetFile(file).read(), TICKS, lake.paths.ticks, {"date": DATE})
    lake.append(TICKS, [copy])
    assert found(judge(lake)) == {Code.DUPLICATE: {0: [(11, 15)]}}


def test_a_row_in_both_tables_is_a_duplicate(lake: BuiltLake) -> None:
    copy = lake.write([GOOD], 0, 10)
    lake.append(TICKS, [file for file in copy if file.table == TICKS])
    report = judge(lake)
    assert found(report)[Code.DUPLICATE] == {0: [(10, 10)]}
    assert "in both tables" in report.findings[0].what


def test_a_duplicated_row_of_the_quarantine_is_a_duplicate(lake: BuiltLake) -> None:
    double(lake, QUARANTINE, 1, 1)
    assert found(judge(lake)) == {Code.DUPLICATE: {1: [(1, 1)]}}


@pytest.mark.parametrize(("partition", "start"), [(0, 16), (1, 1_000_000_000_000), (7, 0), (0, -5)])
def test_rows_at_offsets_that_the_lake_does_not_hold_are_duplicates(lake: BuiltLake, partition: int, start: int) -> None:
    foreign = lake.write([GOOD, GOOD], partition, start)
    lake.append(TICKS, foreign)
    report = judge(lake)
    assert report.code is Code.DUPLICATE
    assert found(report)[Code.DUPLICATE] == {partition: [(start, start + 1)]}
    assert report.figures.doubled == 2


def test_a_row_without_an_offset_is_a_gap_and_a_duplicate(lake: BuiltLake) -> None:
    def forget(rows: pa.Table) -> pa.Table:
        offsets = [
            None if row["kafka_offset"] == 3 and row["kafka_partition"] == 0 else row["kafka_offset"]
            for row in rows.to_pylist()
        ]
        return set_column(rows, "kafka_offset", offsets)

    rewrite(lake, TICKS, forget)
    report = judge(lake)
    assert found(report)[Code.GAP] == {0: [(3, 3)]}
    assert Code.DUPLICATE in found(report)


# ---- altered ------------------------------------------------------------------------------------------------------------


def swapped(name: str) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        values = rows.column(name).to_pylist()
        places = [place for place, is_at in enumerate(at(rows, 0, 12, 14).to_pylist()) if is_at]
        values[places[0]], values[places[1]] = values[places[1]], values[places[0]]
        return set_column(rows, name, values)

    return change


@pytest.mark.parametrize("name", ["price", "seq"])
def test_two_swapped_values_are_an_alteration_of_their_commit(lake: BuiltLake, name: str) -> None:
    rewrite(lake, TICKS, swapped(name))
    report = judge(lake)
    assert report.code is Code.ALTERED
    assert found(report) == {Code.ALTERED: {0: [(11, 15)]}}
    assert "added by commit 3" in report.findings[0].what


@pytest.mark.parametrize(
    ("name", "value"),
    [("symbol", "MSFT"), ("price", 1), ("size", 9), ("ts_event", 0), ("ts_event_nanos", 1), ("seq", 99), ("source", None)],
)
def test_a_changed_value_is_an_alteration(lake: BuiltLake, name: str, value: object) -> None:
    def change(rows: pa.Table) -> pa.Table:
        mask = at(rows, 0, 2).to_pylist()
        return set_column(
            rows, name, [value if is_at else old for is_at, old in zip(mask, rows.column(name).to_pylist(), strict=True)]
        )

    rewrite(lake, TICKS, change)
    assert found(judge(lake)) == {Code.ALTERED: {0: [(0, 10)]}}


@pytest.mark.parametrize("name", ["value", "key", "reason", "detail"])
def test_a_changed_value_of_the_quarantine_is_an_alteration(lake: BuiltLake, name: str) -> None:
    def change(rows: pa.Table) -> pa.Table:
        mask = at(rows, 1, 1).to_pylist()
        return set_column(
            rows, name, [b"x" if is_at else old for is_at, old in zip(mask, rows.column(name).to_pylist(), strict=True)]
        )

    rewrite(lake, QUARANTINE, change)
    assert found(judge(lake)) == {Code.ALTERED: {1: [(0, 2)]}}


def test_a_rewrite_that_keeps_all_values_is_not_an_alteration(lake: BuiltLake) -> None:
    rewrite(lake, TICKS, lambda rows: rows.sort_by([("symbol", "ascending"), ("kafka_offset", "descending")]))
    rewrite(lake, QUARANTINE, lambda rows: rows)
    assert judge(lake).findings == ()


def test_compaction_by_deltalake_is_not_an_alteration(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).optimize.compact()
    DeltaTable(str(lake.paths.quarantine)).optimize.compact()
    assert judge(lake).findings == ()
    DeltaTable(str(lake.paths.ticks)).optimize.z_order(["symbol"])
    assert judge(lake).findings == ()


def test_a_row_that_moved_between_the_tables_is_an_alteration(lake: BuiltLake) -> None:
    drop(lake, QUARANTINE, 0, 10)
    lake.append(TICKS, lake.write([GOOD], 0, 10))
    assert found(judge(lake))[Code.ALTERED] == {0: [(0, 10), (0, 10)]}


def test_an_alteration_is_named_beside_a_gap_in_another_commit(lake: BuiltLake) -> None:
    rewrite(lake, TICKS, swapped("price"))
    drop(lake, TICKS, 0, 3)
    report = judge(lake)
    assert report.code is Code.GAP
    assert found(report) == {Code.GAP: {0: [(3, 3)]}, Code.ALTERED: {0: [(11, 15)]}}


def test_rows_under_another_date_are_an_alteration(lake: BuiltLake) -> None:
    folder = lake.paths.ticks
    rewrite(lake, TICKS, lambda rows: rows.filter(at(rows, 0, 11, 12, 13, 14, 15)))
    kept = pq.ParquetFile(lake.files(TICKS)[0]).read()
    DeltaTable(str(folder)).restore(3)
    drop(lake, TICKS, 0, 11, 12, 13, 14, 15)
    table = DeltaTable(str(folder))
    moved = add(write_data_file(kept, TICKS, folder, {"date": "2026-11-25"}))
    table.create_write_transaction([moved], "append", table.schema(), ["date"])
    report = judge(lake)
    assert report.code is Code.ALTERED
    assert found(report) == {Code.ALTERED: {0: [(11, 15)]}}
    assert "a `date` that is not" in report.findings[0].what


def test_rows_that_deltalake_rewrote_with_the_same_values_are_not_a_finding(lake: BuiltLake) -> None:
    rows = pq.ParquetFile(lake.files(TICKS)[0]).read()
    offsets, partition = rows.column("kafka_offset").to_pylist(), rows.column("kafka_partition")[0].as_py()
    drop(lake, TICKS, partition, *offsets)
    write_deltalake(
        str(lake.paths.ticks), rows.append_column("date", pa.array([date(2026, 11, 24)] * len(rows))), mode="append"
    )
    assert judge(lake).findings == ()


def test_alterations_from_before_the_oldest_log_entries_are_reported_together(lake: BuiltLake) -> None:
    rewrite(lake, TICKS, swapped("price"))
    lake.store(numbered(3, first=20))
    table = DeltaTable(str(lake.paths.ticks))
    table.create_checkpoint()
    for version in range(4):
        (lake.paths.ticks / "_delta_log" / f"{version:020d}.json").unlink()
    report = judge(lake)
    assert report.code is Code.ALTERED
    assert found(report)[Code.ALTERED] == {0: [(0, 15)], 1: [(0, 2)]}
    assert "before the log's oldest entries" in report.findings[0].what


# ---- what a hostile log claims ------------------------------------------------------------------------------------------


def test_an_absurd_position_is_a_gap_and_costs_no_memory(lake: BuiltLake) -> None:
    record = _newest(lake)
    huge = {0: 10**15, 1: 3}
    lake.append(TICKS, [], msgspec.structs.replace(record, position=huge, offsets={0: OffsetRange(16, 10**15)}))
    lake.ends = dict(huge)
    report = judge(lake)
    assert report.code is Code.GAP or report.code is Code.IDENTITY
    assert any("too many are missing" in finding.what for finding in report.findings)


def _newest(lake: BuiltLake) -> CommitMetadata:
    record = newest_metadata(DeltaTable(str(lake.paths.ticks)), lake.paths.ticks)
    assert record is not None
    return record


def test_alternating_bad_and_good_records_are_distinguished(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store([GOOD, BAD] * 50)
    drop(lake, QUARANTINE, 0, 51)
    double(lake, TICKS, 0, 50)
    assert found(judge(lake)) == {Code.GAP: {0: [(51, 51)]}, Code.DUPLICATE: {0: [(50, 50)]}}
