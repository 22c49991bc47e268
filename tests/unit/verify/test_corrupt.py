"""Files that are missing, cut, torn or damaged: code 13, the file, the offsets that it may contain, and no gap besides."""

from __future__ import annotations

import random
import secrets
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from finance_storage.lake_identity import PROPERTY
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.data_files import CorruptError, columns_of, live_files, read_rows
from finance_verify.verdict import Code
from tests.support.lakes import BAD, GOOD, BuiltLake, numbered
from tests.support.tampering import drop, found, judge, rewrite, set_column

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_verify.data_files import LoggedFile


def file_of(lake: BuiltLake, name: str, rows: int) -> Path:
    (file,) = (path for path in lake.files(name) if pq.ParquetFile(path).metadata.num_rows == rows)
    return file


def test_a_missing_data_file_is_named_with_its_offsets(lake: BuiltLake) -> None:
    file = file_of(lake, TICKS, 5)
    file.unlink()
    report = judge(lake)
    assert found(report) == {Code.CORRUPT: {0: [(11, 15)]}}
    assert report.findings[0].what == f"finance_delta/date=2026-11-24/{file.name} is missing"
    assert report.figures.unreadable == 5
    assert report.figures.lost == 0
    assert "5 unreadable" in report.sentence()


def test_a_missing_data_file_of_the_quarantine_is_named(lake: BuiltLake) -> None:
    file_of(lake, QUARANTINE, 2).unlink()
    assert found(judge(lake)) == {Code.CORRUPT: {1: [(1, 2)]}}


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_data_file_that_was_cut_is_corrupt(lake: BuiltLake, keep: float) -> None:
    file = file_of(lake, TICKS, 5)
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content))])
    report = judge(lake)
    assert found(report) == {Code.CORRUPT: {0: [(11, 15)]}}
    assert f"the log says {len(content)}" in report.findings[0].what


def only_file(lake: BuiltLake, name: str) -> tuple[LoggedFile, pa.Schema]:
    table = DeltaTable(str(lake.paths.table(name)))
    file, *_ = live_files(table, name, lake.paths.table(name))
    return file, columns_of(table)


def test_another_number_of_rows_than_the_log_says_is_corrupt(lake: BuiltLake) -> None:
    file, columns = only_file(lake, TICKS)
    assert file.rows is not None
    with pytest.raises(CorruptError, match=f"has {file.rows} rows, the log says {file.rows + 1}"):
        list(read_rows(file._replace(rows=file.rows + 1), columns))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda rows: rows.rename_columns([name.replace("size", "sizf") for name in rows.column_names]),
            "has no column 'size'",
        ),
        (
            lambda rows: rows.set_column(2, "size", rows.column("size").cast(pa.int32())),
            "has column 'size' as int32, the table has it as int64",
        ),
        (lambda rows: rows.drop_columns(["kafka_offset"]), "has no column 'kafka_offset'"),
    ],
)
def test_other_columns_than_the_tables_are_corrupt(
    lake: BuiltLake, change: Callable[[pa.Table], pa.Table], complaint: str
) -> None:
    file, columns = only_file(lake, TICKS)
    pq.write_table(change(pq.ParquetFile(lake.paths.ticks / file.name).read()), (lake.paths.ticks / file.name))
    with pytest.raises(CorruptError, match=complaint):
        list(read_rows(file._replace(size=(lake.paths.ticks / file.name).stat().st_size), columns))


def test_a_column_that_was_added_to_the_table_later_may_be_absent(lake: BuiltLake) -> None:
    file, columns = only_file(lake, TICKS)
    assert sum(len(rows.batch) for rows in read_rows(file, columns.append(pa.field("venue", pa.string())))) == file.rows


def test_a_flipped_bit_in_a_column_without_a_digest_fails_the_checksum(lake: BuiltLake) -> None:
    file, _ = only_file(lake, TICKS)
    content = (lake.paths.ticks / file.name).read_bytes()
    chunk = next(
        chunk
        for chunk in map(pq.ParquetFile(lake.paths.ticks / file.name).metadata.row_group(0).column, range(20))
        if chunk.path_in_schema == "ingested_at"
    )
    start = chunk.dictionary_page_offset
    payload = range(content.index(b"\x28\xb5\x2f\xfd", start), chunk.data_page_offset)  # zstd's magic number opens it
    for position in payload:
        flipped = bytearray(content)
        flipped[position] ^= 1
        (lake.paths.ticks / file.name).write_bytes(flipped)
        assert judge(lake).code is Code.CORRUPT, position


def test_more_missing_than_a_damaged_file_had_is_a_gap_too(lake: BuiltLake) -> None:
    file_of(lake, TICKS, 10).unlink()
    drop(lake, QUARANTINE, 0, 10)
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert found(report) == {Code.CORRUPT: {0: [(0, 9)]}, Code.GAP: {0: [(10, 10)]}}


def test_a_gap_within_the_span_of_a_damaged_file_is_not_hidden_by_it(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store([GOOD, BAD, GOOD, BAD, GOOD])
    drop(lake, QUARANTINE, 0, 1)
    lake.files(TICKS)[0].unlink()
    report = judge(lake)
    assert Code.GAP in found(report)
    assert (report.figures.lost, report.figures.unreadable) == (1, 3)


def test_an_alteration_is_found_beside_a_damaged_file(lake: BuiltLake) -> None:
    def reverse_prices(rows: pa.Table) -> pa.Table:
        return set_column(rows, "price", rows.column("price").to_pylist()[::-1])

    rewrite(lake, TICKS, reverse_prices)
    lake.store(numbered(4, first=15))
    file_of(lake, TICKS, 4).unlink()
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert found(report)[Code.CORRUPT] == {0: [(16, 19)]}
    assert set(found(report)[Code.ALTERED]) == {0, 1}


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
def test_a_flipped_bit_is_never_missed(lake: BuiltLake, name: str) -> None:
    file = file_of(lake, name, {TICKS: 10, QUARANTINE: 2}[name])
    content, rows = file.read_bytes(), pq.ParquetFile(file).read()
    places = {TICKS: {0: [(0, 9)]}, QUARANTINE: {1: [(1, 2)]}}[name]
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    chance = random.Random(seed)  # noqa: S311
    codes = []
    for position in sorted(chance.sample(range(len(content)), 40)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << chance.randrange(8)
        file.write_bytes(flipped)
        report = judge(lake)
        codes.append(report.code)
        if report.code is Code.COMPLETE:  # a bit that no row depends on, in the footer
            assert pq.ParquetFile(file).read().equals(rows), position
        else:
            assert report.code in {Code.CORRUPT, Code.ALTERED}, position
        if report.code is Code.CORRUPT:
            assert found(report)[Code.CORRUPT] == places, position
            assert file.name in report.findings[0].what
    assert codes.count(Code.CORRUPT) > 5  # more than half of all bits are in pages or lead to them


# ---- the log ------------------------------------------------------------------------------------------------------------


def entry(lake: BuiltLake, name: str, place: int) -> Path:
    return sorted((lake.paths.table(name) / "_delta_log").glob("*.json"))[place]


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
@pytest.mark.parametrize("place", [1, -1])
def test_a_torn_entry_of_the_log_is_corrupt(lake: BuiltLake, name: str, place: int) -> None:
    path = entry(lake, name, place)
    path.write_bytes(path.read_bytes()[:-40])
    assert judge(lake).code is Code.CORRUPT


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
@pytest.mark.parametrize("place", [1, -1])
def test_an_empty_entry_of_the_log_is_corrupt_and_named(lake: BuiltLake, name: str, place: int) -> None:
    path = entry(lake, name, place)
    path.write_bytes(b"")
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert any(str(path) in finding.what for finding in report.findings)


def test_a_missing_entry_of_the_log_is_corrupt(lake: BuiltLake) -> None:
    entry(lake, TICKS, 2).unlink()
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert any("is missing" in finding.what for finding in report.findings)


def test_an_entry_that_lost_whole_lines_is_a_gap(lake: BuiltLake) -> None:
    path = entry(lake, TICKS, -1)
    path.write_text("".join(f"{line}\n" for line in path.read_text().splitlines() if '"add"' not in line))
    assert found(judge(lake)) == {Code.GAP: {0: [(11, 15)]}}


def test_a_missing_table_is_corrupt(lake: BuiltLake) -> None:
    lake.paths.ticks.rename(lake.paths.root / "elsewhere")
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert found(report)[Code.CORRUPT] == {0: [(0, 10)], 1: [(0, 2)]}  # up to the quarantine's position
    assert "finance_delta is missing" in report.findings[0].what


def test_a_table_with_deletion_vectors_is_not_trusted(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.set_table_properties(
        {"delta.enableDeletionVectors": "true", "delta.minReaderVersion": "3", "delta.minWriterVersion": "7"}
    )
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert "its log may hide rows" in report.findings[0].what


def test_a_torn_identity_is_corrupt(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.set_table_properties({PROPERTY: "{"}, raise_if_not_exists=False)
    report = judge(lake)
    assert report.code is Code.CORRUPT
    assert PROPERTY in report.findings[0].what


def test_an_entry_that_is_written_between_two_checks_is_not_damage(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    path = entry(lake, TICKS, -1)
    content = path.read_bytes()
    path.write_bytes(b"")
    monkeypatch.setattr("time.sleep", lambda _: path.write_bytes(content))
    assert judge(lake).findings == ()


def test_numbers_in_a_damaged_file_are_not_the_producers_fault(lake: BuiltLake) -> None:
    file_of(lake, TICKS, 5).unlink()
    report = judge(lake)
    assert report.producer is Code.COMPLETE
    assert any("seq 10-14" in note for note in report.notes)


def test_all_data_files_of_a_table_can_be_missing(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store(numbered(5))
    lake.store(numbered(5, first=5))
    for file in lake.files(TICKS):
        file.unlink()
    assert found(judge(lake)) == {Code.CORRUPT: {0: [(5, 9), (0, 4)]}}
