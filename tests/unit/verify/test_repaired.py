"""Verify and the repairs agree: verify finds what recover repairs, and nothing afterwards; a redrive causes no findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from finance_contract import Malformed, Reason, Tick, decode
from finance_job.guard import examine
from finance_job.repair import redrive
from finance_job.repair.altered_rows import altered_rows, report_of
from finance_job.repair.moving import complete
from finance_job.repair.recovery_plan import RecoverError, make_plan
from finance_kafka.offsets import OffsetRange
from finance_lake.status import lake_status
from finance_local import drain
from finance_storage.accounting import find_inconsistencies, still_to_come
from finance_verify.verdict import Code
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered
from tests.support.tampering import judge
from tests.unit.job import test_recover as recovering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_kafka.describe import TopicDescription
    from finance_storage.offset_set import OffsetSet

LATER = b'{"symbol": "LATER", "price": 5}'

lake_to_recover = recovering.lake


def nothing(_: BuiltLake) -> None:
    pass


def unchanged(broker: TopicDescription) -> TopicDescription:
    return broker


def grown(broker: TopicDescription) -> TopicDescription:
    return replace(broker, end={**broker.end, 0: broker.end[0] + 7})


def aged(broker: TopicDescription) -> TopicDescription:
    """Let Kafka have removed the beginning, beyond the lake's position."""
    return replace(broker, first={0: 20, 1: 1}, end={**broker.end, 0: 25})


def emptied(broker: TopicDescription) -> TopicDescription:
    """Let Kafka have removed everything, some of it before the lake stored it."""
    return replace(broker, first={0: 40, 1: 3}, end={0: 40, 1: 3})


@pytest.mark.parametrize("skip", [{}, {0: [OffsetRange(12, 16)]}], ids=["all", "skipping"])
@pytest.mark.parametrize("topic", [unchanged, grown, aged, emptied])
@pytest.mark.parametrize("damage", [nothing, *recovering.DAMAGES], ids=lambda damage: damage.__name__)
def test_all_checks_of_completeness_agree(
    lake_to_recover: BuiltLake,
    damage: Callable[[BuiltLake], None],
    topic: Callable[[TopicDescription], TopicDescription],
    skip: OffsetSet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Verify, recover, the guard, status and the end of `make local` agree before and after a repair."""
    lake, broker = lake_to_recover, topic(lake_to_recover.broker)
    monkeypatch.setattr(drain, "describe_topic", lambda *_: broker)
    damage(lake)

    before = judge(lake, broker)
    assert (before.code in {Code.COMPLETE, Code.BEHIND}) is not has_work(lake, broker), before.findings
    try:
        recovering.recovered(lake, broker, skip)
    except RecoverError:  # duplicate rows that Kafka no longer has: a person has to decide
        assert before.code not in {Code.COMPLETE, Code.BEHIND}
        return

    after = judge(lake, broker)
    assert {finding.code for finding in after.findings} <= {Code.BEHIND}, after.findings
    assert not has_work(lake, broker)
    assert lake_status(lake.paths, lambda: broker, lambda *_: None).lag == after.figures.behind
    monkeypatch.setattr(drain, "MAX_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(drain, "POLL_SECONDS", 0.02)
    drained = drain.drain("", TOPIC, lake.paths, lambda: False)
    assert (not still_to_come(drained.committed, broker)) is (after.code is Code.COMPLETE)


def has_work(lake: BuiltLake, broker: TopicDescription) -> bool:
    """Whether recover or the guard finds something to repair."""
    try:
        is_idle = make_plan(lake.paths, TOPIC, broker, {}, altered_rows(report_of(lake.paths, TOPIC, broker))).is_idle
    except RecoverError:
        return True
    return not is_idle or bool(find_inconsistencies(examine(lake.paths, broker)))


@pytest.fixture
def redrivable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltLake:
    """Create a lake whose quarantine has records that are valid by the current rules."""

    def old_decode(value: bytes | None) -> Tick:
        tick = decode(value)
        if tick.symbol == "LATER":
            raise Malformed(Reason.SYMBOL_INVALID, "not yet")
        return tick

    lake = BuiltLake(tmp_path, partitions=2)
    with monkeypatch.context() as yesterday:
        yesterday.setattr("finance_job.decode.decode", old_decode)
        lake.store([GOOD, LATER, BAD, LATER])
        lake.store([LATER, None], partition=1)
        lake.store(numbered(5))
    return lake


def test_after_a_redrive_the_lake_is_complete(redrivable: BuiltLake) -> None:
    assert judge(redrivable).findings == ()
    assert redrive.redrive(redrivable.paths, redrivable.writer, redrive.ALL).moved == 3
    report = judge(redrivable)
    assert report.findings == ()
    assert (report.figures.rows, report.figures.quarantined) == (9, 2)


def test_between_the_commits_of_a_redrive_the_lake_is_complete(redrivable: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(redrive, "take_out_of_quarantine", die)
        with pytest.raises(KeyboardInterrupt):
            redrive.redrive(redrivable.paths, redrivable.writer, redrive.ALL)
    report = judge(redrivable)
    assert report.findings == ()
    assert any("3 rows are in both tables" in note for note in report.notes)
    complete(redrivable.paths, redrivable.writer)
    assert judge(redrivable).findings == ()
