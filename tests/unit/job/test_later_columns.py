"""A lake with a column added later: every reader returns it, null for older files; repairs and maintenance keep it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from deltalake import DeltaTable
from typer.testing import CliRunner

from finance_job.maintenance import compaction
from finance_job.maintenance.compaction import Maintenance
from finance_job.maintenance.compaction_plan import MIN_FILES_TO_COMPACT
from finance_job.repair import rewrite
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import make_plan
from finance_job.writer import Writer
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import Record
from finance_lake.cli import app
from finance_lake.lake import Lake
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import ARRIVED, BAD, TOPIC, BuiltLake, numbered
from tests.support.newer_version import know_later_columns
from tests.support.tampering import judge

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OLD, NEW = 10, 6  # ticks in files without and with the column
VENUES = [None] * OLD + ["XNYS"] * NEW


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltLake:
    """Build a lake written by two versions of the job, the newer one last."""
    built = BuiltLake(tmp_path / "data")
    built.store([*numbered(5), BAD])
    built.store(numbered(5, first=5))
    know_later_columns(monkeypatch)
    built.writer = Writer(built.paths, built.identity)
    built.store([*numbered(3, first=10), BAD])
    built.store(numbered(3, first=13))
    return built


@pytest.fixture(params=["new", "maintained", "sorted", "read by an older job"])
def any_lake(request: pytest.FixtureRequest, lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> BuiltLake:
    """Return the same lake as it is, after maintenance, and after maintenance by a job that does not know the column."""
    if request.param == "read by an older job":
        monkeypatch.undo()
    if request.param != "new":
        maintain(lake, later=request.param != "maintained", monkeypatch=monkeypatch)
    return lake


def maintain(lake: BuiltLake, *, later: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def between_batches() -> Iterator[None]:
        lake.writer.invalidate_cache()
        yield
        lake.writer.invalidate_cache()

    monkeypatch.setattr("finance_job.maintenance.compaction_plan.MIN_FILES_TO_COMPACT", 2)
    day = ARRIVED.date() + timedelta(days=later)
    lake.writer.invalidate_cache()
    before = len(lake.files(TICKS))
    Maintenance(lake.paths, lake.writer, between_batches, structlog.get_logger(), lambda: day).all()
    assert len(lake.files(TICKS)) < before <= MIN_FILES_TO_COMPACT


def test_verify_has_no_findings(any_lake: BuiltLake) -> None:
    assert judge(any_lake).findings == ()


def test_a_job_that_does_not_know_the_column_compares_the_values_of_the_others(
    lake: BuiltLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    values = [*numbered(5), BAD, *numbered(8, first=5), BAD, *numbered(3, first=13)]
    moment = round(ARRIVED.timestamp() * 1000)
    records = [Record(0, offset, moment, b"AAPL", value) for offset, value in enumerate(values)]
    report = judge(lake, records=records)
    assert report.findings == ()
    assert any("18 records were read from the topic again" in note for note in report.notes)
    assert judge(lake, records=[*records[:10], *records[11:], records[10]._replace(value=b"{}")]).code is Code.ALTERED


def test_our_readers_return_the_column(any_lake: BuiltLake) -> None:
    with Lake(any_lake.paths.root) as lake:
        answers = {
            "ticks": lake.ticks().arrow,
            "batches": pa.Table.from_batches(list(lake.batches()[2])),
            "since": lake.since(0).arrow if len(any_lake.files(TICKS)) > 2 else lake.ticks().arrow,
            "sql": lake.sql("SELECT * FROM ticks ORDER BY seq").arrow,
        }
        for reader, rows in answers.items():
            assert rows.sort_by("seq").column("venue").to_pylist() == VENUES, reader
            assert rows.num_rows == OLD + NEW
            assert rows.column("date").null_count == 0, reader
        assert lake.latest().arrow.column("venue").to_pylist() == ["XNYS"]
        assert lake.sql("SELECT venue FROM latest").arrow.column("venue").to_pylist() == ["XNYS"]
        assert sorted(map(str, lake.quarantine().arrow.column("attempts").to_pylist())) == ["3", "None"]
        assert lake.sql("SELECT count(attempts) AS n FROM quarantine").arrow.column("n").to_pylist() == [1]
        assert lake.bars("1d").arrow.column("ticks").to_pylist() == [OLD + NEW]
        assert lake.coverage().arrow.column("missing").to_pylist() == [0]


def test_older_versions_are_unchanged(lake: BuiltLake) -> None:
    with Lake(lake.paths.root) as reader:
        assert "venue" not in reader.ticks(as_of=2).arrow.column_names
        assert reader.ticks(as_of=2).arrow.num_rows == OLD
        assert reader.sql("SELECT * FROM ticks", as_of=2).arrow.column_names[-1] == "date"
        assert reader.ticks(as_of=4).arrow.column("venue").to_pylist() == [None] * OLD


def test_other_readers_return_the_column(any_lake: BuiltLake) -> None:
    folder = str(any_lake.paths.ticks)
    by_arrow = DeltaTable(folder).to_pyarrow_table().sort_by("seq").column("venue").to_pylist()
    by_polars = pl.scan_delta(folder).sort("seq").collect().get_column("venue").to_list()
    assert by_arrow == by_polars == VENUES


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow"])
def test_an_export_has_the_column(any_lake: BuiltLake, ending: str, tmp_path: Path) -> None:
    target = tmp_path / f"ticks.{ending}"
    command = ["export", str(target), "--data", str(any_lake.paths.root)]
    assert CliRunner().invoke(app, command).exit_code == 0
    if ending == "parquet":
        assert sorted(map(str, pq.read_table(target).column("venue").to_pylist())) == sorted(map(str, VENUES))
    assert target.stat().st_size


def test_rewritten_files_keep_the_column(any_lake: BuiltLake) -> None:
    gone = rewrite.without(any_lake.writer.table(TICKS), TICKS, any_lake.paths.ticks, {0: [OffsetRange(0, 1)]})
    any_lake.writer.commit(TICKS, gone)
    assert DeltaTable(str(any_lake.paths.ticks)).to_pyarrow_table().sort_by("seq").column("venue").to_pylist() == VENUES[1:]


def test_recover_has_nothing_to_do_and_counts_the_same_rows(any_lake: BuiltLake) -> None:
    plan = make_plan(any_lake.paths, TOPIC, any_lake.broker, {}, {})
    assert plan.is_idle
    before = {name: any_lake.writer.metadata(name).total for name in (TICKS, QUARANTINE)}
    Recovery(any_lake.paths, lambda _: iter(()), plan, lambda _: None).run()
    writer = Writer(any_lake.paths, any_lake.identity)
    assert {name: (writer.metadata(name).total.rows, writer.metadata(name).total.digest) for name in before} == {
        name: (total.rows, total.digest) for name, total in before.items()
    }
    assert judge(any_lake).findings == ()


def test_files_with_and_without_the_column_are_read_in_either_order(lake: BuiltLake) -> None:
    files = sorted(lake.files(TICKS), key=lambda path: len(pq.read_schema(path).names))
    names = [str(path.relative_to(lake.paths.ticks)) for path in files]
    for ordered in (names, names[::-1]):
        rows = compaction._scan(lake.paths.ticks, ordered).to_table().sort_by("seq")  # noqa: SLF001
        assert rows.column("venue").to_pylist() == VENUES
