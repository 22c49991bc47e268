"""The verdict on producers: code 15, by ledger, and only if the pipeline does not explain the difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from finance_storage.paths import TICKS
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.lakes import BAD, TOPIC, BuiltLake, numbered
from tests.support.tampering import double, drop, judge, write_ledger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from finance_verify.verdict import Report


def messages(report: Report) -> str:
    return "\n".join(finding.what for finding in report.findings if finding.code is Code.PRODUCER)


def test_missing_acknowledged_ticks_are_the_producers_fault(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 9]]}, {"acknowledged": [[10, 20]]})
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert (report.pipeline, report.producer) == (Code.COMPLETE, Code.PRODUCER)
    assert "6 ticks of sim-1 were acknowledged and are not in finance_delta: seq 15-20" in messages(report)
    assert report.figures.unheard == 6


def test_a_tick_that_was_sent_twice_is_the_producers_fault(lake: BuiltLake) -> None:
    lake.store(numbered(2, first=13))
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert "2 ticks of sim-1 are in finance_delta more than once: seq 13-14" in messages(report)


def test_a_tick_that_was_sent_twice_beyond_the_acknowledged_ones_is_found(lake: BuiltLake) -> None:
    lake.store([*numbered(1, first=900), *numbered(1, first=900)])
    assert "1 ticks of sim-1 are in finance_delta more than once: seq 900" in messages(judge(lake))


def test_ticks_that_were_never_acknowledged_are_fine_and_counted(lake: BuiltLake) -> None:
    lake.store(numbered(4, first=20))
    report = judge(lake)
    assert report.findings == ()
    assert report.figures.unacknowledged == 4


def test_an_absurd_number_costs_no_memory(lake: BuiltLake) -> None:
    lake.store([b'{"symbol":"A","price":1,"seq":9223372036854775807,"source":"sim-1"}'])
    assert judge(lake).findings == ()


def test_an_absurd_ledger_costs_no_memory(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 2**62]]})
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert report.figures.unheard == 2**62 - 14


def test_a_source_without_a_ledger_is_not_judged(lake: BuiltLake) -> None:
    lake.store([*numbered(2, source="other"), *numbered(2, source="other")])
    assert judge(lake).findings == ()


def test_ticks_of_several_sources_are_judged_separately(lake: BuiltLake) -> None:
    lake.store([*numbered(3, source="other"), *numbered(1, first=15)])
    write_ledger(lake, {"acknowledged": [[0, 3]]}, source="other")
    assert messages(judge(lake)) == "1 ticks of other were acknowledged and are not in finance_delta: seq 3"


def test_a_ledger_of_another_topic_is_not_judged(lake: BuiltLake) -> None:
    file = write_ledger(lake, {"acknowledged": [[0, 99]]}, source="other")
    file.write_text(file.read_text().replace(TOPIC, "elsewhere"))
    assert judge(lake).findings == ()


def test_while_the_table_is_behind_missing_ticks_are_not_judged(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 20]]})
    report = judge(lake, replace(lake.broker, end={0: 22, 1: 3}))
    assert report.code is Code.BEHIND
    assert any("6 acknowledged ticks are not in the tables" in note for note in report.notes)


@pytest.mark.parametrize("change", [{"cluster": "another"}, {"first": {0: 22, 1: 3}, "end": {0: 22, 1: 3}}])
def test_if_the_topic_is_another_or_lost_records_missing_ticks_are_not_judged(lake: BuiltLake, change: dict[str, Any]) -> None:
    write_ledger(lake, {"acknowledged": [[0, 20]]})
    report = judge(lake, replace(lake.broker, **change))
    assert report.code in {Code.IDENTITY, Code.GAP}
    assert report.producer is Code.COMPLETE


def test_without_a_broker_missing_ticks_are_not_judged(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 20]]})
    assert verify(lake.paths, VerifyContext(TOPIC, None)).code is Code.COMPLETE


def test_ticks_that_the_pipeline_lost_are_not_the_producers_fault(lake: BuiltLake) -> None:
    drop(lake, TICKS, 0, 3, 4)
    report = judge(lake)
    assert report.producer is Code.COMPLETE
    assert any("seq 3-4" in note for note in report.notes)


def test_ticks_that_the_pipeline_duplicated_are_not_the_producers_fault(lake: BuiltLake) -> None:
    double(lake, TICKS, 0, 3, 4)
    assert judge(lake).producer is Code.COMPLETE


# ---- damaged ledgers ----------------------------------------------------------------------------------------------------

LINES = [{"acknowledged": [[0, 4]]}, {"acknowledged": [[5, 9]]}, {"acknowledged": [[10, 14]]}]
ENDED = {"ended": "2026-11-24T12:01:00+00:00", "made": 15, "acknowledged": 15, "unsent": 0, "malformed": 0}


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_ledger_that_lost_a_line_is_named(lake: BuiltLake, line: int) -> None:
    file = write_ledger(lake, *LINES, ENDED)
    assert judge(lake).findings == ()
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:line] + lines[line + 1 :]))
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert f"{file} is incomplete: its last line counts 15 acknowledged ticks, the other lines 10" in messages(report)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace('"acknowledged": [[5', '"acknowl": [[5', 1).replace("[[5, 9", "[5, 9", 1),
        lambda text: text.replace("[5, 9]", "[5]"),
        lambda text: text.replace("[5, 9]", "[9, 5]"),
        lambda text: text.replace("[5, 9]", "[4, 9]"),
        lambda text: text.replace("[5, 9]", '["5", 9]'),
        lambda text: text.split("\n", 1)[1],
        lambda text: text[20:],
        lambda text: text.replace('"acknowledged": 15', '"acknowledged": "15"'),
    ],
)
def test_an_invalid_ledger_is_named(lake: BuiltLake, damage: Callable[[str], str]) -> None:
    file = write_ledger(lake, *LINES, ENDED)
    file.write_text(damage(file.read_text()))
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert str(file) in messages(report)


def test_a_number_in_two_lines_of_a_ledger_is_named(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 9]]}, {"acknowledged": [[9, 14]]})
    assert "is not valid or overlaps another" in messages(judge(lake))


def test_a_ledger_that_was_emptied_is_named_if_the_table_has_its_ticks(lake: BuiltLake) -> None:
    write_ledger(lake).write_text("")
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert "the ledger of sim-1 has no complete line, but finance_delta has 15 of its ticks" in messages(report)


def test_a_ledger_that_has_just_begun_is_valid(lake: BuiltLake) -> None:
    (lake.paths.ledgers / "sim-2.jsonl").write_text('{"source": "sim')
    assert judge(lake).findings == ()


def test_a_ledger_with_a_torn_last_line_is_valid(lake: BuiltLake) -> None:
    file = write_ledger(lake, *LINES)
    file.write_text(file.read_text()[:-9])
    report = judge(lake)
    assert report.findings == ()
    assert (report.figures.acknowledged, report.figures.unacknowledged) == (10, 5)


def test_a_run_whose_last_ticks_got_no_answer_has_a_complete_ledger(lake: BuiltLake) -> None:
    write_ledger(lake, *LINES, ENDED | {"made": 20, "acknowledged": 17, "unsent": 3})
    assert judge(lake).findings == ()


def test_two_ledgers_of_one_source_are_named(lake: BuiltLake) -> None:
    file = write_ledger(lake, *LINES)
    (file.parent / "copy.jsonl").write_bytes(file.read_bytes())
    assert "has the same source as another ledger: sim-1" in messages(judge(lake))


def test_malformed_records_use_no_number(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store([*numbered(5), BAD, BAD, *numbered(5, first=5)])
    write_ledger(lake, {"acknowledged": [[0, 9]]}, ENDED | {"made": 10, "acknowledged": 10, "malformed": 2})
    assert judge(lake).findings == ()
