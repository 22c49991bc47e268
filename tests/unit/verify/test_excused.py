"""A tick that another client sent under a producer's source: reported with both places, excused by name, noted afterwards."""

from __future__ import annotations

import msgspec
import pytest
from deltalake import DeltaTable

from finance_job.guard import open_lake
from finance_job.repair.recover import RecoverSettings, Recovery, spans_in
from finance_job.repair.recovery_plan import RecoverError, RecoveryPlan, excusing, make_plan
from finance_storage.lake_identity import read_identity
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code, Report
from tests.support.lakes import TOPIC, BuiltLake, numbered
from tests.support.tampering import double, found, judge, write_ledger


@pytest.fixture
def lake(lake: BuiltLake) -> BuiltLake:
    """Add a tick of sim-1 at 1:3 with the same number as the tick at 0:12."""
    lake.store(numbered(1, first=11), partition=1)
    return lake


def plan_of(lake: BuiltLake, excuse: str) -> RecoveryPlan:
    return excusing(make_plan(lake.paths, TOPIC, lake.broker, {}, {}), spans_in(excuse))


def excuse(lake: BuiltLake, places: str) -> Report:
    """Excuse ticks as `make recover EXCUSE=places` does, and verify."""
    Recovery(lake.paths, lambda _: iter(()), plan_of(lake, places), lambda _: None).run()
    open_lake(lake.paths, TOPIC, lake.broker)
    return judge(lake)


def test_both_places_are_named(lake: BuiltLake) -> None:
    report = judge(lake)
    assert report.code is Code.PRODUCER
    message = "1 ticks of sim-1 are in finance_delta more than once: seq 11; 11 at 0:12 and 1:3"
    assert report.findings[0].what == message
    assert found(report) == {Code.PRODUCER: {0: [(12, 12)], 1: [(3, 3)]}}
    assert report.as_json()["findings"][0]["places"] == {"0": [[12, 13]], "1": [[3, 4]]}


def test_many_duplicates_are_counted_and_the_first_are_named(lake: BuiltLake) -> None:
    lake.store(numbered(10), partition=1)
    (message,) = [finding.what for finding in judge(lake).findings]
    assert message.startswith(
        "11 ticks of sim-1 are in finance_delta more than once: seq 0-9, 11; 0 at 0:0 and 1:4; 1 at 0:1 and 1:5;"
    )
    assert message.count(" and ") == 8


def test_a_duplicate_far_beyond_the_ledger_is_named(lake: BuiltLake) -> None:
    lake.store([b'{"symbol":"A","price":1,"seq":%d,"source":"sim-1"}' % (2**62)] * 2, partition=1)
    assert f"{2**62} at 1:4 and 1:5" in judge(lake).findings[0].what


def test_ticks_duplicated_by_the_pipeline_are_named_with_their_places(lake: BuiltLake) -> None:
    double(lake, TICKS, 0, 3)
    report = judge(lake)
    assert report.code is Code.DUPLICATE
    assert report.producer is Code.PRODUCER
    assert "3 at 0:3 and 0:3" in report.findings[-1].what


@pytest.mark.parametrize("place", ["1:3", "0:12"])
def test_an_excused_tick_no_longer_counts_for_its_source(lake: BuiltLake, place: str) -> None:
    before = DeltaTable(str(lake.paths.ticks)).to_pyarrow_table().num_rows
    report = excuse(lake, place)
    assert report.findings == ()
    assert report.code is Code.COMPLETE
    assert DeltaTable(str(lake.paths.ticks)).to_pyarrow_table().num_rows == before


def test_excused_ticks_are_in_every_verdict(lake: BuiltLake) -> None:
    report = excuse(lake, "1:3")
    assert report.figures.excused == 1
    assert "1 excused" in report.sentence()
    assert "note: 1 ticks are excused by name; their numbers do not count for their source (partition 1: 3)" in report.as_text()
    assert report.as_json()["figures"]["excused"] == 1
    lake.ends[0] += 5
    assert "1 excused" in judge(lake).sentence()


def test_excusing_both_ticks_leaves_their_number_missing(lake: BuiltLake) -> None:
    report = excuse(lake, "0:12,1:3")
    assert report.code is Code.PRODUCER
    assert "1 ticks of sim-1 were acknowledged and are not in finance_delta: seq 11" in report.findings[0].what


def test_another_duplicate_of_an_excused_number_is_found(lake: BuiltLake) -> None:
    excuse(lake, "1:3")
    lake.writer.invalidate_cache()
    identity = read_identity(lake.paths)
    assert identity is not None
    lake.writer = type(lake.writer)(lake.paths, identity)
    lake.writer.epoch = lake.writer.metadata(TICKS).epoch
    lake.store(numbered(1, first=11), partition=1)
    assert judge(lake).findings[0].what.endswith("seq 11; 11 at 0:12 and 1:4")


def test_excuses_are_stored_in_both_tables_and_kept(lake: BuiltLake) -> None:
    excuse(lake, "1:3")
    identity = read_identity(lake.paths)
    assert identity is not None
    assert [(entry.partition, entry.start, entry.end) for entry in identity.excused] == [(1, 3, 4)]
    assert plan_of(lake, "1:3").is_idle
    assert plan_of(lake, "1:3").excused == identity.excused
    for name in (TICKS, QUARANTINE):
        properties = DeltaTable(str(lake.paths.table(name))).metadata().configuration
        assert msgspec.json.decode(properties["financelake.identity"])["excused"]


def test_a_new_list_replaces_the_old_one_so_an_excuse_can_be_withdrawn(lake: BuiltLake) -> None:
    excuse(lake, "0:3")
    plan = plan_of(lake, "1:3")
    assert list(plan.steps())[:2] == [
        "excuse ticks whose sequence numbers are not from their source: partition 1: 3",
        "no longer excuse ticks whose sequence numbers are not from their source: partition 0: 3",
    ]
    assert excuse(lake, "1:3").findings == ()
    assert excuse(lake, "").code is Code.PRODUCER


@pytest.mark.parametrize("place", ["1:1", "0:10", "0:99", "7:0"])
def test_only_ticks_can_be_excused(lake: BuiltLake, place: str) -> None:
    with pytest.raises(RecoverError, match="no tick to excuse at partition"):
        plan_of(lake, place)


def test_a_recovery_for_another_reason_keeps_excuses(lake: BuiltLake) -> None:
    excuse(lake, "1:3")
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    assert plan.is_idle
    Recovery(lake.paths, lambda _: iter(()), plan, lambda _: None).run()
    assert judge(lake).figures.excused == 1


def test_recover_accepts_offsets_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RecoverSettings().excuse == ""
    for value in ("1:3,0:5-6", "none"):
        monkeypatch.setenv("EXCUSE", value)
        assert RecoverSettings().excuse == value
    monkeypatch.setenv("EXCUSE", "all")
    with pytest.raises(ValueError, match="excuse"):
        RecoverSettings()


def test_numbers_count_only_with_a_ledger(lake: BuiltLake) -> None:
    (lake.paths.ledgers / "sim-1.jsonl").unlink()
    assert judge(lake).findings == ()
    write_ledger(lake, {"acknowledged": [[0, 14]]})
    assert judge(lake).code is Code.PRODUCER
