"""Parts that do not belong together: code 14, even if other things are wrong too."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from finance_storage.paths import TICKS
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered
from tests.support.tampering import drop, found, judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def only_identity(lake: BuiltLake) -> str:
    report = judge(lake)
    assert report.code is Code.IDENTITY
    (message,) = (finding.what for finding in report.findings if finding.code is Code.IDENTITY)
    return message


def test_another_cluster(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, cluster="another"))
    assert report.code is Code.IDENTITY
    assert "Kafka cluster another" in report.findings[0].what


def test_a_topic_that_was_recreated(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, topic_id="another", first={0: 0, 1: 0}, end={0: 2, 1: 2}))
    assert [finding.code for finding in report.findings] == [Code.IDENTITY]
    assert "deleted and created again" in report.findings[0].what


def test_another_topic_than_the_lakes(lake: BuiltLake) -> None:
    report = verify(lake.paths, VerifyContext("other", lambda: lake.broker, patience_seconds=0))
    assert report.code is Code.IDENTITY
    assert "KAFKA_TOPIC is other" in report.findings[0].what


@pytest.mark.parametrize(
    ("tamper", "what"),
    [
        (lambda lake: lake.mix_with_another_lake(lake.paths.root.parent / "other"), "finance_quarantine to another"),
        (BuiltLake.lose_identity, "do not say which topic they hold"),
    ],
)
def test_tables_of_two_lakes_or_of_none(lake: BuiltLake, tamper: Callable[[BuiltLake], None], what: str) -> None:
    tamper(lake)
    assert what in only_identity(lake)


def test_tables_without_an_identity_beside_a_broken_log(lake: BuiltLake) -> None:
    lake.lose_identity()
    path = lake.paths.ticks / "_delta_log" / f"{2:020d}.json"
    path.unlink()
    report = judge(lake)
    assert Code.CORRUPT in found(report)


def test_files_beside_the_tables_are_not_read(lake: BuiltLake) -> None:
    lake.paths.before_tables.write_text('{"cluster": "another"}')
    assert judge(lake).findings == ()


def test_a_table_that_an_older_copy_replaced_is_behind(lake: BuiltLake, tmp_path: Path) -> None:
    shutil.copytree(lake.paths.ticks, tmp_path / "copy")
    lake.store([GOOD, BAD, GOOD, GOOD], partition=1)
    lake.store(numbered(4, first=15))
    shutil.rmtree(lake.paths.ticks)
    shutil.copytree(tmp_path / "copy", lake.paths.ticks)
    assert found(judge(lake)) == {Code.BEHIND: {0: [(16, 19)], 1: [(3, 6)]}}
    assert verify(lake.paths, VerifyContext(TOPIC, None)).findings == ()


def test_an_older_copy_of_the_quarantine_is_a_gap(lake: BuiltLake) -> None:
    max((lake.paths.quarantine / "_delta_log").glob("*.json")).unlink()
    assert found(judge(lake)) == {Code.GAP: {1: [(1, 2)]}}


def test_a_topic_that_ends_before_the_table(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, end={0: 14, 1: 3}))
    assert found(report) == {Code.IDENTITY: {0: [(14, 15)]}}
    assert "the broker has lost records" in report.findings[0].what


def test_records_that_kafka_removed_before_the_lake_stored_them_are_a_gap(lake: BuiltLake) -> None:
    report = judge(lake, replace(lake.broker, first={0: 20, 1: 0}, end={0: 25, 1: 3}))
    assert found(report) == {Code.GAP: {0: [(16, 19)]}, Code.BEHIND: {0: [(20, 24)]}}


def test_identity_takes_precedence(lake: BuiltLake) -> None:
    drop(lake, TICKS, 0, 3)
    lake.files(TICKS)[-1].unlink()
    report = judge(lake, replace(lake.broker, cluster="another"))
    assert report.code is Code.IDENTITY
    assert {Code.IDENTITY, Code.CORRUPT} <= found(report).keys()
