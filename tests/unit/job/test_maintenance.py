"""Maintenance rewrites files without changing rows; if rows would change, it undoes the commit and reports it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from finance_job import transaction
from finance_job.guard import open_lake
from finance_job.maintenance import compaction, compaction_plan
from finance_job.maintenance.compaction import CompactionMismatchError, Maintenance
from finance_job.maintenance.compaction_plan import MAX_ROWS_PER_FILE, MIN_FILES_TO_COMPACT, slices, to_merge, to_sort
from finance_job.transaction import LiveFile
from finance_job.writer import Writer
from finance_storage.data_file import write_data_file
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import ARRIVED, BAD, TOPIC, BuiltLake, made_once, numbered
from tests.support.tampering import judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

THE_DAY = ARRIVED.date()
THE_NEXT = THE_DAY + timedelta(days=1)
LOG = structlog.get_logger()


@made_once
def forty_batches(folder: Path) -> BuiltLake:
    built = BuiltLake(folder)
    for batch in range(40):
        built.store([*numbered(5, first=5 * batch), BAD])
    return built


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    """Return a lake of forty small batches."""
    return forty_batches(tmp_path)


def maintained(lake: BuiltLake, today: date = THE_DAY) -> Maintenance:
    @contextmanager
    def between_batches() -> Iterator[None]:
        lake.writer.invalidate_cache()
        yield
        lake.writer.invalidate_cache()

    return Maintenance(lake.paths, lake.writer, between_batches, LOG, lambda: today)


def table(lake: BuiltLake, name: str = TICKS) -> DeltaTable:
    return DeltaTable(str(lake.paths.table(name)))


def rows(lake: BuiltLake, name: str = TICKS) -> list[dict[str, object]]:
    return list(table(lake, name).to_pyarrow_table().sort_by("kafka_offset").to_pylist())


def assert_verified(lake: BuiltLake) -> None:
    assert judge(lake).code is Code.COMPLETE
    open_lake(lake.paths, TOPIC, lake.broker)


def test_small_files_of_both_tables_are_merged_and_no_row_changes(lake: BuiltLake) -> None:
    before = {name: rows(lake, name) for name in (TICKS, QUARANTINE)}
    maintained(lake).all()
    assert {name: rows(lake, name) for name in (TICKS, QUARANTINE)} == before
    assert [len(table(lake, name).file_uris()) for name in (TICKS, QUARANTINE)] == [1, 1]
    assert_verified(lake)


def test_few_files_are_not_merged(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    for batch in range(MIN_FILES_TO_COMPACT - 1):
        lake.store(numbered(1, first=batch))
    version = table(lake).version()
    maintained(lake).all()
    assert table(lake).version() == version


def test_a_merge_is_not_a_data_change(lake: BuiltLake) -> None:
    maintained(lake).all()
    (newest,) = table(lake).history(1)
    assert newest["maintenance"] == "merged"
    entry = (lake.paths.ticks / "_delta_log" / f"{table(lake).version():020d}.json").read_text()
    assert '"dataChange":true' not in entry


def test_the_stream_goes_on_after_a_merge(lake: BuiltLake) -> None:
    maintained(lake).all()
    lake.store(numbered(3, first=200))
    assert_verified(lake)


def test_a_closed_date_is_sorted_by_symbol_and_time_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAX_ROWS_PER_FILE, TICKS, 40)
    lake = BuiltLake(tmp_path)
    for batch in range(10):
        lake.store(
            [
                b'{"symbol":"%s","price":1,"ts_event":%d}' % (symbol, 1_764_000_000_000_000_000 + 10**9 * (7 * batch % 10))
                for symbol in (b"IBM", b"AAPL", b"AAPL", b"AAPL", b"AAPL", b"AAPL", b"MSFT")
            ]
        )
    before = rows(lake)
    maintenance = maintained(lake, THE_NEXT)
    maintenance.all()
    assert rows(lake) == before
    files = [pq.ParquetFile(path).read() for path in table(lake).file_uris()]
    assert all(len(file) <= 40 for file in files)
    files.sort(key=lambda file: (file["symbol"][0].as_py(), file["ts_event"][0].as_py()))
    whole = pa.concat_tables(files)
    order = list(zip(whole["symbol"].to_pylist(), whole["ts_event"].to_pylist(), strict=True))
    assert order == sorted(order)
    version = table(lake).version()
    maintenance.all()
    assert table(lake).version() == version
    assert_verified(lake)


@pytest.mark.parametrize("kind", [pa.string_view(), pa.large_string(), pa.string()], ids=str)
@pytest.mark.parametrize("most", [1_000_000, 3])
@pytest.mark.parametrize("batches", [MIN_FILES_TO_COMPACT + 2, 5], ids=["merged", "sorted"])
def test_files_of_another_writer_are_merged_and_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType, most: int, batches: int
) -> None:
    monkeypatch.setitem(MAX_ROWS_PER_FILE, TICKS, most)
    lake = BuiltLake(tmp_path)
    for batch in range(batches):
        first, second = numbered(2, first=2 * batch)
        (file,) = lake.write([first, second.replace(b"AAPL", b"MSFT")], 0, lake.plan(2))
        path = lake.paths.ticks / file.path
        pq.write_table(with_texts(pq.ParquetFile(path).read(), kind if batch % 2 else pa.string()), path)
        lake.commit(TICKS, [msgspec.structs.replace(file, size=path.stat().st_size)])
    before = notes(lake)
    assert len(before) == 2 * batches
    for today in (THE_DAY, THE_NEXT):
        maintained(lake, today).all()
        assert notes(lake) == before
    assert all("sorted" in path.name for path in lake.files(TICKS))


def with_texts(ticks: pa.Table, kind: pa.DataType) -> pa.Table:
    """Return ticks with texts of this type, and with a column that the table does not have."""
    for name in ("symbol", "source"):
        ticks = ticks.set_column(ticks.column_names.index(name), name, ticks.column(name).cast(kind))
    return ticks.append_column("note", pa.array([f"of {seq}" for seq in ticks.column("seq").to_pylist()], kind))


def notes(lake: BuiltLake) -> list[tuple[object, ...]]:
    """Return offset, symbol, source and note of each row, as the data files have them."""
    files = (pq.ParquetFile(path).read() for path in lake.files(TICKS))
    names = ["kafka_offset", "symbol", "source", "note"]
    return sorted(tuple(row.values()) for file in files for row in file.select(names).to_pylist())


def test_the_current_date_is_not_sorted(lake: BuiltLake) -> None:
    maintained(lake).all()
    assert not [path for path in table(lake).file_uris() if "sorted" in path]


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_kill_around_the_commit_leaves_a_complete_lake(lake: BuiltLake, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compact = Writer.compact

    def die(*arguments: object) -> None:
        if place == "after":
            compact(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(Writer, "compact", die)
    with pytest.raises(KeyboardInterrupt):
        maintained(lake).all()
    assert_verified(lake)
    monkeypatch.undo()
    maintained(lake).all()
    assert_verified(lake)


def test_a_file_with_other_rows_than_written_is_undone(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    write, before = write_data_file, rows(lake)

    def write_other_prices(content: pa.Table, *rest: object) -> object:
        file = write(content, *rest)  # type: ignore[arg-type]
        target = lake.paths.ticks / file.path
        stored = pq.ParquetFile(target).read()
        index = stored.column_names.index("seq")
        pq.write_table(stored.set_column(index, "seq", pa.nulls(len(stored), pa.int64())), target)
        return msgspec.structs.replace(file, size=target.stat().st_size)

    monkeypatch.setattr(compaction, "write_data_file", write_other_prices)
    with pytest.raises(
        CompactionMismatchError, match="does not hold the rows that were written to it; the table is back at version"
    ):
        maintained(lake).all()
    assert rows(lake) == before
    assert_verified(lake)


def test_a_truncated_file_is_undone(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(lake)

    def write_a_part(*content: object) -> object:
        file = write_data_file(*content)  # type: ignore[arg-type]
        target = lake.paths.ticks / file.path
        target.write_bytes(target.read_bytes()[:-100])
        return file

    monkeypatch.setattr(compaction, "write_data_file", write_a_part)
    with pytest.raises(CompactionMismatchError, match=r"cannot be read \(.*\); the table is back at version"):
        maintained(lake).all()
    assert rows(lake) == before
    assert_verified(lake)


def test_a_merge_that_loses_rows_is_undone(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    write, before = write_data_file, rows(lake)
    monkeypatch.setattr(compaction, "write_data_file", lambda content, *rest: write(content.slice(1), *rest))
    with pytest.raises(CompactionMismatchError, match="199 rows instead of 200"):
        maintained(lake).all()
    assert rows(lake) == before
    assert_verified(lake)


def test_a_merge_is_dropped_if_its_files_were_rewritten_meanwhile(lake: BuiltLake) -> None:
    @contextmanager
    def too_late() -> Iterator[None]:
        table(lake).optimize.compact()
        lake.writer.invalidate_cache()
        yield

    Maintenance(lake.paths, lake.writer, too_late, LOG, lambda: THE_DAY).all()
    assert len(rows(lake)) == 200
    assert_verified(lake)


def test_work_is_done_in_steps(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "LOOK_SECONDS", 0.0)
    maintenance = maintained(lake)
    versions = []
    for _ in range(10):
        maintenance.step()
        versions.append(table(lake).version())
    assert versions[0] == versions[1] == 40
    assert versions[-1] == 41


def age(lake: BuiltLake, days: int) -> None:
    """Make all current log entries `days` days old."""
    moment = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    for entry in (lake.paths.ticks / "_delta_log").iterdir():
        os.utime(entry, (moment, moment))


def test_the_log_is_checkpointed_every_hundred_commits(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    maintenance = maintained(lake)
    maintenance.all()
    assert transaction.last_log_checkpoint(lake.paths.ticks) == 0
    monkeypatch.setattr(compaction, "LOG_CHECKPOINT_INTERVAL", 40)
    maintenance.all()
    assert transaction.last_log_checkpoint(lake.paths.ticks) == 40
    before = rows(lake)
    for entry in (lake.paths.ticks / "_delta_log").glob("*[0-3]?.json"):
        entry.unlink()
    assert rows(lake) == before
    lake.store(numbered(3, first=200))
    assert_verified(lake)


@pytest.mark.parametrize("days", [6, 8])
def test_entries_are_removed_after_a_week_but_never_the_newest_metadata(
    lake: BuiltLake, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction, "LOG_CHECKPOINT_INTERVAL", 40)
    maintained(lake).all()  # the merge comes after the newest commit metadata
    monkeypatch.setattr(compaction, "LOG_CHECKPOINT_INTERVAL", 0)
    age(lake, days)
    maintained(lake).all()
    entries = sorted(int(entry.stem) for entry in (lake.paths.ticks / "_delta_log").glob("*.json"))
    assert entries == ([40, 41] if days > 7 else list(range(42)))
    assert_verified(lake)


def live(number: int, count: int, day: date = THE_DAY, name: str = "part") -> LiveFile:
    return LiveFile(f"date={day}/{name}-{number}", 1, {"date": str(day)}, count)


@given(st.lists(st.integers(0, 2 * MAX_ROWS_PER_FILE[TICKS]), max_size=80))
def test_merged_files_fit_into_memory_and_become_fewer(counts: list[int]) -> None:
    files = [live(number, count) for number, count in enumerate(counts)]
    merged = to_merge(TICKS, files, THE_DAY)
    assert len(merged) != 1
    assert sum(file.rows for file in merged) <= MAX_ROWS_PER_FILE[TICKS]
    assert all(file in files for file in merged)


def test_merging_always_ends_with_few_files() -> None:
    files: list[LiveFile] = []
    for number in range(5000):
        files.append(live(number, 100))
        while merged := to_merge(TICKS, files, THE_DAY):
            files = [file for file in files if file not in merged]
            files.append(live(number, sum(file.rows for file in merged), name="merged"))
    assert sum(file.rows for file in files) == 500_000
    assert len(files) < 2 * MIN_FILES_TO_COMPACT + 5


def test_closed_dates_are_sorted_oldest_first_and_never_merged() -> None:
    files = [live(number, 10, THE_DAY - timedelta(days=number % 2)) for number in range(80)]
    assert to_merge(TICKS, files, THE_NEXT) == []
    assert {file.partition_values["date"] for file in to_sort(files, THE_NEXT)} == {str(THE_DAY - timedelta(days=1))}
    assert to_sort([live(1, 10, name="sorted")], THE_NEXT) == []


@given(
    st.dictionaries(st.sampled_from("ABCDEFGH"), st.integers(1, 30)),
    st.lists(st.integers(0, 50), min_size=11, max_size=60),
)
def test_slices_have_every_row_once(few: dict[str, int], times: list[int]) -> None:
    begin = datetime(2026, 11, 24)  # noqa: DTZ001 (as NumPy has them)
    moments = np.array([begin + timedelta(seconds=seconds) for seconds in times], dtype="datetime64[us]")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(compaction_plan.MAX_ROWS_PER_FILE, TICKS, 30)
        pieces = slices({**few, "Z": len(times)}, {"Z": moments})
    whole = [piece for piece in pieces if piece.start is piece.end is None]
    assert sorted(symbol for piece in whole for symbol in piece.symbols if symbol != "Z") == sorted(few)
    assert all(sum(few[symbol] for symbol in piece.symbols) <= 30 for piece in pieces if "Z" not in piece.symbols)
    inside = [
        sum((start is None or start <= moment) and (end is None or moment < end) for moment in moments.tolist())
        for symbols, start, end in pieces
        if "Z" in symbols
    ]
    assert sum(inside) == len(times)
