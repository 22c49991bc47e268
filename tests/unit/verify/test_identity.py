"""Parts that do not belong together: code 14, whatever else is wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from deltalake import DeltaTable

from finance_lake.proof.verdict import Code
from finance_lake.proof.verify import verify
from finance_lake.proof.world import World
from finance_lake.state.identity import read_identity, write_identity
from finance_lake.state.layout import TICKS
from tests.lakes import GOOD, TOPIC, BuiltLake, numbered
from tests.tampering import drop, found, judge

if TYPE_CHECKING:
    from pathlib import Path


def only_identity(lake: BuiltLake) -> str:
    report = judge(lake)
    assert report.code is Code.IDENTITY
    (finding,) = (finding for finding in report.findings if finding.code is Code.IDENTITY)
    return finding.what


def test_another_cluster(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, cluster="another"))
    assert report.code is Code.IDENTITY
    assert "Kafka cluster another" in report.findings[0].what


def test_a_topic_that_was_made_again(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, topic_id="another", first={0: 0, 1: 0}, end={0: 2, 1: 2}))
    assert [finding.code for finding in report.findings] == [Code.IDENTITY]
    assert "deleted and made again" in report.findings[0].what


def test_another_topic_than_the_lakes(lake: BuiltLake) -> None:
    report = verify(lake.layout, World("other", lambda: lake.broker, patience_seconds=0))
    assert report.code is Code.IDENTITY
    assert "KAFKA_TOPIC is other" in report.findings[0].what


def test_the_lake_json_of_another_lake(lake: BuiltLake, tmp_path: Path) -> None:
    other = BuiltLake(tmp_path / "other")
    stranger = msgspec.structs.replace(other.identity, query="another-query")
    write_identity(lake.layout.identity, stranger)
    assert "lake.json names another-query" in only_identity(lake)


def test_a_lake_json_that_is_gone(lake: BuiltLake) -> None:
    lake.layout.identity.unlink()
    assert "lake.json is missing, the tables are not" in only_identity(lake)


def test_a_lake_json_that_is_gone_with_one_of_the_tables(lake: BuiltLake) -> None:
    lake.layout.identity.unlink()
    shutil.rmtree(lake.layout.ticks)
    assert judge(lake).code is Code.IDENTITY


def test_a_lake_json_that_is_gone_beside_a_broken_log(lake: BuiltLake) -> None:
    lake.layout.identity.unlink()
    path = max((lake.layout.ticks / "_delta_log").glob("*.json"))
    path.write_bytes(path.read_bytes()[:-40])
    report = judge(lake)
    assert report.code is Code.IDENTITY
    assert Code.CORRUPT in found(report)


def test_a_checkpoint_that_is_gone(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    assert "is missing, the tables are not" in only_identity(lake)


def test_a_checkpoint_of_another_query(lake: BuiltLake) -> None:
    (lake.layout.checkpoint / "metadata").write_text('{"id": "another"}')
    assert "belongs to query another" in only_identity(lake)


@pytest.mark.parametrize("count", [1, 2])
def test_a_checkpoint_that_was_rolled_back(lake: BuiltLake, count: int) -> None:
    for folder in ("offsets", "commits"):
        for batch in range(3 - count, 3):
            (lake.layout.checkpoint / folder / str(batch)).unlink()
    assert f"newest plan is batch {2 - count}, the tables are at batch 2" in only_identity(lake)


def test_a_checkpoint_that_was_begun_again(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    lake.checkpoint.begin(lake.identity.query, TOPIC, {0: 0, 1: 0})
    assert "newest plan is batch -1, the tables are at batch 2" in only_identity(lake)


def test_a_checkpoint_with_other_offsets(lake: BuiltLake) -> None:
    path = lake.layout.checkpoint / "offsets" / "2"
    path.write_text(path.read_text().replace('"0": 16', '"0": 15'))
    assert "ends at 0:15,1:3 in the checkpoint and at 0:16,1:3 in the table" in only_identity(lake)


def test_a_batch_that_is_stored_and_not_closed_is_in_order(lake: BuiltLake) -> None:
    (lake.layout.checkpoint / "commits" / "2").unlink()
    assert judge(lake).findings == ()


def test_a_table_that_an_older_copy_replaced_lacks_what_the_checkpoint_has_closed(lake: BuiltLake, tmp_path: Path) -> None:
    shutil.copytree(lake.layout.ticks, tmp_path / "copy")
    lake.store([GOOD] * 4, partition=1)
    lake.store(numbered(4, first=15))
    shutil.rmtree(lake.layout.ticks)
    shutil.copytree(tmp_path / "copy", lake.layout.ticks)
    report = verify(lake.layout, World(TOPIC, None))
    assert found(report) == {Code.GAP: {0: [(16, 19)], 1: [(3, 6)]}}
    assert "has closed batch 4, finance_delta is at batch 2" in report.findings[0].what


def test_a_topic_that_ends_before_the_table(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, end={0: 14, 1: 3}))
    assert found(report) == {Code.IDENTITY: {0: [(14, 15)]}}
    assert "the broker has lost records" in report.findings[0].what


def test_records_that_kafka_removed_before_the_lake_had_them_are_a_gap(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, first={0: 20, 1: 0}, end={0: 25, 1: 3}))
    assert found(report) == {Code.GAP: {0: [(16, 19)]}, Code.BEHIND: {0: [(20, 24)]}}


def test_identity_comes_before_all_else(lake: BuiltLake) -> None:
    drop(lake, TICKS, 0, 3)
    lake.files(TICKS)[-1].unlink()
    report = judge(lake, replace(lake.broker, cluster="another"))
    assert report.code is Code.IDENTITY
    assert {Code.IDENTITY, Code.CORRUPT} <= found(report).keys()


def test_records_of_a_query_before_a_recovery_are_in_order(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    identity = read_identity(lake.layout.identity)
    assert identity is not None
    write_identity(lake.layout.identity, msgspec.structs.replace(identity, query="a-new-query"))
    lake.checkpoint.begin("a-new-query", TOPIC, dict(lake.ends))
    assert judge(lake).findings == ()
    assert DeltaTable(str(lake.layout.ticks)).transaction_version("a-new-query:ticks") is None
