"""The task of a worker, without Spark: Arrow batches in, files and a description of each out."""

import pickle
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance_job import worker_task
from finance_job.worker_task import WorkerTask
from finance_storage.data_file import WrittenFile
from finance_storage.digest import add, digest_of
from finance_storage.schemas import UTC_MICROSECONDS

GOOD = b'{"symbol": "AAPL", "price": 174.5}'
BAD = b"no tick"
PLANNED_MS = 1_764_000_000_123
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 11, 25, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def records(values: Sequence[bytes | None], first_offset: int = 0, arrived: datetime = NOON) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [
            pa.nulls(len(values), pa.binary()),
            pa.array(values, pa.binary()),
            pa.array([0] * len(values), pa.int32()),
            pa.array(range(first_offset, first_offset + len(values)), pa.int64()),
            pa.array([arrived] * len(values), UTC_MICROSECONDS),
        ],
        names=["key", "value", "partition", "offset", "timestamp"],
    )


def run(root: Path, *batches: pa.RecordBatch, tables: Sequence[str] = ("ticks", "quarantine")) -> list[WrittenFile]:
    """Run the task and return the file descriptions after pickling, as Spark passes them to the sink."""
    task = WorkerTask({table: root / table for table in tables}, PLANNED_MS)
    return [pickle.loads(pickle.dumps(file)) for file in task.files(iter(batches))]  # noqa: S301


def content(root: Path, file: WrittenFile) -> pa.Table:
    return pq.ParquetFile(root / file.table / file.path).read()


def offsets(root: Path, files: Sequence[WrittenFile], table: str) -> list[int]:
    return sorted(
        offset for file in files if file.table == table for offset in content(root, file).column("kafka_offset").to_pylist()
    )


def files_below(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_file()}


def test_good_and_bad_records_go_to_the_folders_of_their_tables(tmp_path: Path) -> None:
    files = run(tmp_path, records([GOOD, BAD, GOOD, None]))
    assert (offsets(tmp_path, files, "ticks"), offsets(tmp_path, files, "quarantine")) == ([0, 2], [1, 3])


def test_small_batches_share_one_file_per_table(tmp_path: Path) -> None:
    files = run(tmp_path, *(records([GOOD, BAD], first_offset=2 * batch) for batch in range(5)))
    assert [file.table for file in files] == ["ticks", "quarantine"]
    assert [file.rows for file in files] == [{0: 5}, {0: 5}]


def test_the_reported_files_are_exactly_those_on_disk(tmp_path: Path) -> None:
    files = run(tmp_path, records([GOOD, BAD]), records([GOOD], first_offset=2, arrived=MIDNIGHT))
    assert files_below(tmp_path) == {tmp_path / file.table / file.path for file in files}


def test_file_descriptions_survive_pickling(tmp_path: Path) -> None:
    for file in run(tmp_path, records([GOOD, BAD, GOOD])):
        rows = content(tmp_path, file)
        assert (file.digest, file.rows) == (digest_of(rows), {0: rows.num_rows})


def test_ingested_at_is_the_planning_time_of_the_batch(tmp_path: Path) -> None:
    for file in run(tmp_path, records([GOOD, BAD]), records([GOOD, BAD], first_offset=2)):
        ingested = content(tmp_path, file).column("ingested_at").to_pylist()
        assert ingested == [datetime(2025, 11, 24, 16, 0, 0, 123000, tzinfo=UTC)] * 2


def test_each_utc_date_of_arrival_has_its_own_file(tmp_path: Path) -> None:
    files = run(tmp_path, records([GOOD], 0, MIDNIGHT - TICK), records([GOOD, GOOD], 1, MIDNIGHT), records([GOOD], 3, NOON))
    by_date = {file.partition_values["date"]: offsets(tmp_path, [file], "ticks") for file in files}
    assert by_date == {"2026-11-24": [0, 3], "2026-11-25": [1, 2]}
    assert len(files) == 2
    assert all(file.path.startswith(f"date={file.partition_values['date']}/") for file in files)


def test_the_quarantine_has_no_dates(tmp_path: Path) -> None:
    (file,) = run(tmp_path, records([BAD], 0, MIDNIGHT - TICK), records([BAD], 1, MIDNIGHT))
    assert (file.table, file.partition_values, file.rows) == ("quarantine", {}, {0: 2})


@pytest.mark.parametrize("table", ["ticks", "quarantine"])
def test_a_table_without_a_folder_gets_no_file(tmp_path: Path, table: str) -> None:
    files = run(tmp_path, records([GOOD, BAD]), tables=[table])
    assert [file.table for file in files] == [table]
    assert files_below(tmp_path) == {tmp_path / table / files[0].path}


@pytest.mark.parametrize("batches", [[], [records([])]], ids=["no batch", "an empty batch"])
def test_a_share_without_records_writes_and_returns_nothing(tmp_path: Path, batches: list[pa.RecordBatch]) -> None:
    assert run(tmp_path, *batches) == []
    assert files_below(tmp_path) == set()


def test_large_input_is_written_to_several_files_with_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [records([GOOD, BAD] * 10, first_offset=20 * batch) for batch in range(6)]
    whole = run(tmp_path / "one", *batches)
    monkeypatch.setattr(worker_task, "TARGET_FILE_BYTES", {"ticks": 3000, "quarantine": 3000})
    files = run(tmp_path / "many", *batches)
    assert [file.table for file in files].count("ticks") > 1
    assert offsets(tmp_path / "many", files, "ticks") == list(range(0, 120, 2))
    assert offsets(tmp_path / "many", files, "quarantine") == list(range(1, 120, 2))
    for table in ("ticks", "quarantine"):
        digests = [add([file.digest for file in written if file.table == table]) for written in (whole, files)]
        assert digests[0] == digests[1]


def test_a_file_is_closed_as_soon_as_it_is_large_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_task, "TARGET_FILE_BYTES", {"ticks": 0, "quarantine": 0})
    files = run(tmp_path, *(records([GOOD] * 3, first_offset=3 * batch) for batch in range(4)))
    assert [file.rows for file in files] == [{0: 3}] * 4
