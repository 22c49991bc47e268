"""Forget: a source's ticks leave the table and stay accounted, also if it is killed; undo brings exactly the same rows back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from deltalake import DeltaTable

from finance_contract.retracted import RETRACTED
from finance_job.guard import examine
from finance_job.repair import forget, redrive
from finance_job.repair.moving import complete
from finance_job.repair.request import ForgetRequest
from finance_job.writer import Writer
from finance_kafka.range_reader import Record
from finance_lake.lake import Lake
from finance_storage.accounting import find_inconsistencies
from finance_storage.offset_set import spans_of
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import ARRIVED, BAD, GOOD, BuiltLake, numbered
from tests.support.tampering import judge, write_ledger

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

FILE = "trades.csv-0123456789abcdef"
VALUES = [
    *numbered(3),
    BAD,
    b'{"symbol":"IBM","price":161.50,"size":7,"ts_event":1704465000000000017,"seq":0,"source":"%s"}' % FILE.encode(),
    GOOD,
    b'{"price":1e2,"symbol":"IBM","note":"x","seq":1,"source":"%s"}' % FILE.encode(),
    b'{"symbol":"IBM","price":0.00000001,"ts_event":1704465000000000000,"seq":2,"source":"%s"}' % FILE.encode(),
    *numbered(2, first=3, source=f"the {FILE}"),
]


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    built = BuiltLake(tmp_path / "data")
    built.store(VALUES[:6])
    built.store(VALUES[6:])
    write_ledger(built, {"acknowledged": [[0, 2]]}, source=FILE)
    return built


def _records() -> list[Record]:
    moment = round(1000 * ARRIVED.timestamp())
    return [Record(0, place, moment, b"AAPL", value) for place, value in enumerate(VALUES)]


def _rows(lake: BuiltLake, name: str) -> pa.Table:
    return DeltaTable(str(lake.paths.table(name))).to_pyarrow_table().sort_by("kafka_offset")


def _is_proven(lake: BuiltLake) -> bool:
    report = judge(lake, records=_records())
    assert report.findings == (), report.findings
    return not find_inconsistencies(examine(lake.paths, lake.broker))


def test_its_ticks_leave_the_table_and_are_listed_as_retracted(lake: BuiltLake) -> None:
    before = DeltaTable(str(lake.paths.ticks)).version()
    assert forget.forget(lake.paths, lake.writer, FILE) == 3
    assert FILE not in _rows(lake, TICKS).column("source").to_pylist()
    listed = [row for row in _rows(lake, QUARANTINE).to_pylist() if row["reason"] == RETRACTED]
    assert [(row["kafka_offset"], row["detail"]) for row in listed] == [(4, f"0 {FILE}"), (6, f"1 {FILE}"), (7, f"2 {FILE}")]
    assert _is_proven(lake)
    assert any("3 ticks are retracted" in note for note in judge(lake).notes)
    with Lake(lake.paths.root) as opened:
        assert opened.symbols() == ["AAPL"]
        assert opened.ticks("IBM", as_of=before).arrow.num_rows == 3


def test_undo_brings_the_same_rows_back(lake: BuiltLake) -> None:
    before = {name: _rows(lake, name).drop(["ingested_at"]) for name in (TICKS, QUARANTINE)}
    forget.forget(lake.paths, lake.writer, FILE)
    assert forget.undo(lake.paths, lake.writer, f"the {FILE}") == 0
    assert forget.undo(lake.paths, lake.writer, FILE) == 3
    assert {name: _rows(lake, name).drop(["ingested_at"]) for name in (TICKS, QUARANTINE)} == before
    assert _is_proven(lake)


@pytest.mark.parametrize("by", ["the next start of the job", "the next retraction"])
def test_one_that_is_killed_between_its_commits_is_completed(lake: BuiltLake, by: str) -> None:
    forget.append(lake.paths, lake.writer, spans_of({0: np.array([4, 6, 7])}))
    assert _is_proven(lake)  # each row counts once, although it is in both tables
    assert any("a retraction is under way: 3 rows" in note for note in judge(lake).notes)
    writer = Writer(lake.paths, lake.identity)
    if by == "the next start of the job":
        assert complete(lake.paths, writer) == 3
    assert forget.forget(lake.paths, writer, FILE) == 0
    assert FILE not in _rows(lake, TICKS).column("source").to_pylist()
    assert _is_proven(lake)


def test_a_source_can_be_forgotten_in_several_commits(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "MAX_ROWS", 1)
    assert forget.forget(lake.paths, lake.writer, FILE) == 3
    assert lake.writer.metadata(TICKS).retractions == lake.writer.metadata(QUARANTINE).retractions == 2
    assert _is_proven(lake)


def test_a_redrive_of_all_reasons_leaves_retracted_ticks(lake: BuiltLake) -> None:
    forget.forget(lake.paths, lake.writer, FILE)
    assert redrive.redrive(lake.paths, lake.writer, redrive.ALL).moved == 0
    assert _is_proven(lake)


def test_ticks_that_arrive_later_are_stored_as_usual(lake: BuiltLake) -> None:
    forget.forget(lake.paths, lake.writer, FILE)
    lake.store(numbered(2, first=3))
    assert judge(lake).findings == ()
    assert lake.writer.metadata(TICKS).retractions == 1


def test_a_source_without_ticks_is_an_answer(lake: BuiltLake) -> None:
    for request in (ForgetRequest("none"), ForgetRequest(FILE, undo=True)):
        answer = forget.answer_to(lake.paths, lake.writer, request)
        assert not answer.done
        assert "`financelake sources` lists all" in answer.sentence


def test_a_missing_number_is_still_found(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 3]]}, source=FILE)
    forget.forget(lake.paths, lake.writer, FILE)
    assert [finding.what for finding in judge(lake).findings] == [
        f"1 ticks of {FILE} were acknowledged and are not in finance_delta: seq 3"
    ]


def test_the_time_of_arrival_is_not_the_time_of_the_event(lake: BuiltLake) -> None:
    forget.forget(lake.paths, lake.writer, FILE)
    values = {row["kafka_offset"]: row["value"] for row in _rows(lake, QUARANTINE).to_pylist()}
    assert values[6] == b'{"symbol":"IBM","price":100,"seq":1,"source":"%s"}' % FILE.encode()
    assert b'"ts_event":1704465000000000017' in values[4]
    assert datetime(2024, 1, 5, 14, 30, tzinfo=UTC).timestamp() == 1_704_465_000
