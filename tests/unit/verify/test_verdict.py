"""Codes, their precedence, and the sentence of the verdict."""

from __future__ import annotations

import json
from itertools import combinations

import pytest

from finance_kafka.offsets import OffsetRange
from finance_verify.verdict import Code, Figures, Finding, Report, gravest

IN_ORDER = [14, 13, 11, 12, 16, 17, 15, 10]


def test_the_codes_never_change() -> None:
    assert {code.name.lower(): int(code) for code in Code} == {
        "complete": 0,
        "behind": 10,
        "gap": 11,
        "duplicate": 12,
        "corrupt": 13,
        "identity": 14,
        "producer": 15,
        "altered": 16,
        "derived": 17,
    }


@pytest.mark.parametrize(("higher", "lower"), list(combinations(IN_ORDER, 2)))
def test_the_code_with_precedence_decides(higher: int, lower: int) -> None:
    for codes in ([higher, lower], [lower, higher]):
        assert Report(tuple(Finding(Code(code), "") for code in codes)).code == higher


def test_without_a_finding_it_is_complete() -> None:
    assert gravest([]) is Code.COMPLETE


def test_pipeline_and_producer_have_separate_verdicts() -> None:
    report = Report((Finding(Code.PRODUCER, ""), Finding(Code.BEHIND, "")))
    assert (report.code, report.pipeline, report.producer) == (Code.PRODUCER, Code.BEHIND, Code.PRODUCER)


def test_the_sentence_has_the_figures() -> None:
    figures = Figures(rows=123456, quarantined=7, position={0: 31000, 1: 5}, version=812, lost=3, unreadable=2, behind=1)
    assert Report((Finding(Code.GAP, ""),), (), figures).sentence() == (
        "gap: 3 lost, 0 doubled, 2 unreadable, 1 still to come, "
        "123,456 rows and 7 quarantined in 2 partitions up to 0:31000,1:5; table version 812."
    )


def test_json_has_everything() -> None:
    finding = Finding(Code.GAP, "what", {1: [OffsetRange(3, 5)]})
    report = json.loads(json.dumps(Report((finding,), ("a note",), Figures(position={1: 9})).as_json()))
    assert report["code"] == 11
    assert report["verdict"] == report["pipeline"] == "gap"
    assert report["producer"] == "complete"
    assert report["findings"] == [{"code": 11, "verdict": "gap", "what": "what", "places": {"1": [[3, 5]]}}]
    assert report["notes"] == ["a note"]
    assert report["figures"]["position"] == {"1": 9}
    assert report["sentence"].startswith("gap: ")
