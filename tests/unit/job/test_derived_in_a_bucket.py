"""Derived tables in an object store, without Spark: the log fences a stalled driver, and upkeep works there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pytest
from deltalake.exceptions import CommitFailedError

from finance_job.derived import revision, upkeep
from finance_job.derived.coverage_1m import COLUMNS, COVERAGE_1M
from finance_job.derived.revision import Revisions
from finance_job.derived.revision_files import in_files, write_file
from finance_job.derived.sessions import TickTable
from finance_job.derived.upkeep import Upkeep
from finance_role.settings import PlaceSettings
from finance_storage import place
from finance_storage.delta_table import open_table
from finance_storage.paths import LakePaths
from tests.support.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

MINUTE = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[LakePaths]:
    with S3Server(tmp_path) as server:
        settings = {name.lower(): value for name, value in server.settings().items()}
        yield LakePaths.of(PlaceSettings.model_validate({"data_dir": tmp_path / "data", **settings}))


def driver(paths: LakePaths, lake: str = "lake") -> Revisions:
    none = cast("SparkSession", None)
    return Revisions(TickTable(none, none, paths, lake), COVERAGE_1M)


def one_row(as_of: int) -> pa.Table:
    time = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "symbol": ["AAPL"],
            "ts": pa.array([MINUTE + timedelta(minutes=as_of)], time),
            **{name: pa.array([1], pa.int64()) for name in COLUMNS},
            "tick_count": pa.array([1], pa.int64()),
            "checksum": pa.array([1], pa.decimal128(38, 0)),
            "as_of": pa.array([as_of], pa.int64()),
            "known_at": pa.array([MINUTE], time),
        }
    )


def append(revisions: Revisions, paths: LakePaths, as_of: int) -> None:
    revisions.commit([write_file(one_row(as_of), COVERAGE_1M.name, paths.derived(COVERAGE_1M.name))], as_of)


def stored(paths: LakePaths) -> list[int]:
    table = open_table(paths.derived(COVERAGE_1M.name))
    assert table
    return sorted(table.to_pyarrow_table().column("as_of").to_pylist())


def test_a_driver_that_stalled_before_its_commit_overwrites_nothing(paths: LakePaths, monkeypatch: pytest.MonkeyPatch) -> None:
    older, newer = driver(paths), driver(paths)
    seen = open_table(paths.derived(COVERAGE_1M.name))  # by the older one, just before it stalls
    append(newer, paths, 5)
    with monkeypatch.context() as patch:
        patch.setattr(revision, "open_table", lambda *_: seen)
        with pytest.raises(CommitFailedError):
            append(older, paths, 7)
    assert stored(paths) == [5]
    append(older, paths, 5)  # of what another driver has done nothing is repeated
    assert stored(paths) == [5]
    append(newer, paths, 8)
    assert stored(paths) == [5, 8]
    assert older.position == newer.position == 8


def test_upkeep_merges_files_removes_replaced_ones_and_sums_up_the_log(
    paths: LakePaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MAX_SMALL_FILES", 3)
    monkeypatch.setattr(upkeep, "VACUUM_HOURS", 0)
    monkeypatch.setattr(upkeep, "LOG_CHECKPOINT_INTERVAL", 5)
    revisions, folder = driver(paths), paths.derived(COVERAGE_1M.name)
    for as_of in range(1, 5):
        append(revisions, paths, as_of)
    Upkeep(folder).step()
    assert len([name for name in place.names(folder) if name.endswith(".parquet")]) == 1
    assert [name for name in place.names(folder / "_delta_log") if ".checkpoint" in name]
    assert stored(paths) == [1, 2, 3, 4]
    assert revisions.position == 4


def test_the_table_of_another_lake_is_put_aside(paths: LakePaths) -> None:
    append(driver(paths, "another"), paths, 9)
    assert driver(paths).position is None
    assert stored(paths) == []
    (aside,) = place.names(paths.aside)
    assert any(name.endswith(".parquet") for name in place.names(paths.aside / aside))


def test_rows_are_joined_to_files_of_a_bounded_size() -> None:
    batches = [pa.record_batch({"n": pa.array(range(100), pa.int64())})] * 5 + [
        pa.record_batch({"n": pa.array([], pa.int64())})
    ]
    assert [rows.num_rows for rows in in_files(iter(batches), most=1600)] == [200, 200, 100]
