"""The feed of an import: numbered without gaps, in order, and without the ticks that have arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import decode
from finance_producer.importing.feed import FileFeed
from finance_producer.reading.convert import SCHEMA, Converted
from finance_storage.ledger import LedgerWriter, ledger_file, merged, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def _blocks(sizes: list[int]) -> Iterator[Converted]:
    first = 0
    for size in sizes:
        rows = [{"symbol": "A", "price": str(first + place + 1)} for place in range(size)]
        table = pa.Table.from_pylist(rows, schema=SCHEMA).combine_chunks()
        batch = table.to_batches()[0] if size else pa.RecordBatch.from_pylist([], SCHEMA)
        yield Converted(batch, size, [(first, "price_missing: empty")], (first + size) / max(1, sum(sizes)))
        first += size


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), max_size=6),
    arrived=st.sets(st.integers(0, 80), max_size=40),
    count=st.integers(1, 9),
)
def test_exactly_the_missing_ticks_are_taken_in_runs_of_consecutive_numbers(
    sizes: list[int], arrived: set[int], count: int
) -> None:
    left_out: list[int] = []
    ranges = merged((number, number) for number in arrived)
    feed = FileFeed(_blocks(sizes), "test", lambda line, _: left_out.append(line), ranges)
    numbers: list[int] = []
    while not feed.ended:
        ticks = feed.take(count)
        decoded = [decode(value) for value in ticks.values]
        assert [tick.seq for tick in decoded] == list(range(ticks.first, ticks.first + len(decoded)))
        assert [int(tick.price) - 1 for tick in decoded] == [tick.seq for tick in decoded]
        numbers += [tick.seq for tick in decoded if tick.seq is not None]
    assert numbers == [number for number in range(sum(sizes)) if number not in arrived]
    assert (feed.ticks, feed.rows, feed.passed) == (sum(sizes), sum(sizes), len([n for n in arrived if n < sum(sizes)]))
    assert (len(left_out), feed.left_out.total()) == (len(sizes), len(sizes))


@pytest.mark.parametrize("tail", [b'{"acknowledged": [[8,', b'{"ended": "x", "made": 9, "acknowledged": 2, "unsent": 7}\n'])
def test_a_ledger_goes_on_after_a_killed_or_a_stopped_run(tmp_path: Path, tail: bytes) -> None:
    file = ledger_file(tmp_path, "s")
    header = {"source": "s", "topic": "finance"}
    first = LedgerWriter(file, header)
    first.note([(0, 1)], [])
    first.write()
    with file.open("ab") as stream:
        stream.write(tail)

    again = LedgerWriter.again(file, header, [(0, 4), (7, 7)])
    again.note([(5, 6), (8, 9)], [])
    again.close(made=4, acknowledged=4, unsent=0, whole=1)
    account = read(file)
    assert account.acknowledged == [(0, 9)]
    assert account.ending is not None
    assert (account.ending["made"], account.ending["whole"]) == (10, 1)
