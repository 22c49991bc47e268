"""Verify and the repairs agree: what recover mends, verify has found before and finds no more; a redrive never disturbs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from finance_contract import Malformed, Reason, Tick, decode
from finance_job import redrive
from finance_lake.proof.verdict import Code
from tests.lakes import BAD, GOOD, BuiltLake, numbered
from tests.tampering import judge
from tests.unit.job import test_recover as recovering

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = b'{"symbol": "LATER", "price": 5}'

lake_to_recover = recovering.lake


@pytest.mark.parametrize("damage", recovering.DAMAGES, ids=lambda damage: damage.__name__)
def test_what_recover_mends_was_found_and_is_found_no_more(
    lake_to_recover: BuiltLake, damage: Callable[[BuiltLake], None]
) -> None:
    assert judge(lake_to_recover).findings == ()
    damage(lake_to_recover)
    assert judge(lake_to_recover).code not in {Code.COMPLETE, Code.BEHIND}

    recovering.recovered(lake_to_recover)

    report = judge(lake_to_recover)
    # What lies beyond the end of the tables is for the stream to read again.
    assert {finding.code for finding in report.findings} <= {Code.BEHIND}, report.findings


@pytest.fixture
def redrivable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BuiltLake:
    """Give a lake whose quarantine has records that the rules of today let pass."""

    def of_yesterday(value: bytes | None) -> Tick:
        tick = decode(value)
        if tick.symbol == "LATER":
            raise Malformed(Reason.SYMBOL_INVALID, "not yet")
        return tick

    lake = BuiltLake(tmp_path, partitions=2)
    with monkeypatch.context() as yesterday:
        yesterday.setattr("finance_job.decode.decode", of_yesterday)
        lake.store([GOOD, LATER, BAD, LATER])
        lake.store([LATER, None], partition=1)
        lake.store(numbered(5))
    return lake


def test_after_a_redrive_the_lake_is_complete(redrivable: BuiltLake) -> None:
    assert judge(redrivable).findings == ()
    assert redrive.redrive(redrivable.layout, redrivable.writer, redrive.ALL).moved == 3
    report = judge(redrivable)
    assert report.findings == ()
    assert (report.figures.rows, report.figures.quarantined) == (9, 2)


def test_between_the_commits_of_a_redrive_the_lake_is_complete(redrivable: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(redrive, "_take_out", die)
        with pytest.raises(KeyboardInterrupt):
            redrive.redrive(redrivable.layout, redrivable.writer, redrive.ALL)
    report = judge(redrivable)
    assert report.findings == ()
    assert any("3 rows stand in both tables" in note for note in report.notes)
    redrive.complete(redrivable.layout, redrivable.writer)
    assert judge(redrivable).findings == ()
