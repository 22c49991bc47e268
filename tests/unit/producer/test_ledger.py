"""The ledger, and the broker's answers that it records."""

from __future__ import annotations

import os
from itertools import count, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from confluent_kafka import KafkaError
from hypothesis import given
from hypothesis import strategies as st

from finance_contract.tick import SOURCE
from finance_producer.delivery import Deliveries
from finance_producer.encoder import TradeEncoder
from finance_producer.market import Trades
from finance_storage.ledger import LedgerWriter, ledger_file, merged, new_source, read

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from finance_storage.ledger import Range

HEADER = {"source": "test", "topic": "finance"}
TIMED_OUT = KafkaError(KafkaError._MSG_TIMED_OUT)  # noqa: SLF001


class Answer:
    """The part of a confluent_kafka.Message that a delivery callback reads."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value


def _numbers(ranges: list[Range]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


def _ranges_of(numbers: set[int]) -> list[Range]:
    return merged((number, number) for number in numbers)


@given(st.sets(st.integers(0, 60)))
def test_merged_ranges_have_the_same_numbers_in_the_fewest_ranges(numbers: set[int]) -> None:
    ranges = _ranges_of(numbers)
    assert _numbers(ranges) == sorted(numbers)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(ranges))


@given(st.integers(0, 1000), st.lists(st.booleans(), min_size=1, max_size=40), st.randoms())
def test_a_block_counts_answers_in_any_order(first: int, outcomes: list[bool], random: Random) -> None:
    deliveries = Deliveries()
    block = deliveries.open(first)
    deliveries.grow(block, len(outcomes))
    block.is_growing = False
    answers = [(first + place, good) for place, good in enumerate(outcomes)]
    random.shuffle(answers)
    for seq, good in answers:
        assert not deliveries.settled()
        block.delivered(None if good else TIMED_OUT, Answer(b'{"symbol":"A","price":1,"seq":%d}' % seq))  # type: ignore[arg-type]

    assert deliveries.settled() == [block]
    assert deliveries.settled() == []
    assert _numbers(block.acknowledged_ranges()) == [first + place for place, good in enumerate(outcomes) if good]
    assert sorted(_numbers(block.failed_ranges())) == [first + place for place, good in enumerate(outcomes) if not good]
    assert all(low <= high for low, high in block.acknowledged_ranges())
    assert deliveries.figures() == {
        "made": len(outcomes),
        "acknowledged": sum(outcomes),
        "unsent": len(outcomes) - sum(outcomes),
        "malformed": 0,
    }


def test_the_number_of_a_failed_tick_is_read_from_its_value() -> None:
    ones = np.array([1])
    (value,) = TradeEncoder(["AAPL"], "test").values(Trades(ones - 1, ones, ones), ones * 1_790_000_000_000_000_000, 77)
    block = Deliveries().open(77)
    block.delivered(TIMED_OUT, Answer(value))  # type: ignore[arg-type]
    assert block.failed == [77]


def test_a_ledger_is_read_back_as_written(tmp_path: Path) -> None:
    file = ledger_file(tmp_path, "test")
    ledger = LedgerWriter(file, HEADER)
    ledger.note([(0, 99)], [])
    ledger.note([(200, 299)], [(150, 150)])
    ledger.note([(100, 149), (151, 199)], [])
    ledger.close(made=300, acknowledged=299, unsent=1)

    account = read(file)
    assert file == tmp_path / "ledger" / "test.jsonl"
    assert account.header.items() > HEADER.items()
    assert account.acknowledged == [(0, 149), (151, 299)]
    assert account.failed == [(150, 150)]
    assert account.ending is not None
    assert account.ending.items() >= {"made": 300, "acknowledged": 299, "unsent": 1}.items()


def test_lines_are_written_at_most_once_a_second_and_never_empty(tmp_path: Path) -> None:
    file, seconds = ledger_file(tmp_path, "test"), count(0, 0.25)
    ledger = LedgerWriter(file, HEADER, lambda: next(seconds))
    sizes = set()
    for number in range(40):
        ledger.note([(number, number)], [])
        ledger.write()
        sizes.add(file.stat().st_size)
    assert 5 <= len(sizes) <= 12
    before = file.stat().st_size
    ledger.close()
    ended = file.read_bytes()[before:]
    assert read(file).acknowledged == [(0, 39)]
    assert ended.count(b"\n") <= 2


def test_a_ledger_of_a_killed_run_has_no_ending(tmp_path: Path) -> None:
    file, seconds = ledger_file(tmp_path, "test"), count(0, 10)
    ledger = LedgerWriter(file, HEADER, lambda: next(seconds))
    ledger.note([(0, 9)], [])
    ledger.write()
    assert read(file).ending is None
    assert read(file).acknowledged == [(0, 9)]


def test_a_torn_last_line_is_ignored(tmp_path: Path) -> None:
    file, seconds = ledger_file(tmp_path, "test"), count(0, 10)
    ledger = LedgerWriter(file, HEADER, lambda: next(seconds))
    ledger.note([(0, 9)], [])
    ledger.write()
    whole = file.read_bytes()
    ledger.note([(10, 19)], [])
    ledger.write()
    longer = file.read_bytes()
    for cut in range(len(whole), len(longer)):
        file.write_bytes(longer[:cut])
        assert read(file).acknowledged == [(0, 9)]
    file.write_bytes(longer)
    assert read(file).acknowledged == [(0, 19)]


def test_a_torn_earlier_line_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    for content in (b"", b'{"source', b'{"source":"x"}\n{"acknowl\n{"acknowledged":[[0,1]]}\n'):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"complete line|truncated"):
            read(file)


def test_a_partial_write_leaves_no_torn_line_and_loses_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, write = ledger_file(tmp_path, "test"), os.write
    ledger = LedgerWriter(file, HEADER)
    ledger.note([(0, 9)], [])
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        with pytest.raises(OSError, match="only a part"):
            ledger.close()
    ledger.close(made=10)
    account = read(file)
    assert account.acknowledged == [(0, 9)]
    assert account.ending is not None


def test_two_runs_never_share_a_ledger(tmp_path: Path) -> None:
    LedgerWriter(ledger_file(tmp_path, "test"), HEADER).close()
    with pytest.raises(FileExistsError):
        LedgerWriter(ledger_file(tmp_path, "test"), HEADER)


@given(st.integers(0, 10**60))
def test_the_name_of_a_run_is_a_valid_source_and_unique(seed: int) -> None:
    names = {new_source(f"sim-{seed}") for _ in range(5)}
    assert len(names) == 5
    assert all(SOURCE.fullmatch(name) for name in names)
