"""Bars read page by page equal those read at once, in both directions."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_lake.lake import Lake
from finance_lake.query import bar_history
from finance_lake.query.bar_history import BarHistory
from finance_lake.query.selection import UNIT_US, step_us
from finance_lake.query.snapshot import open_snapshot
from tests.support.lakes import BuiltLake
from tests.unit.lake.conftest import BEGIN, tick

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_lake.query.bar_history import BarPage

HISTORY_US = 400 * UNIT_US["d"]


def backward(read: Callable[[int | None], BarPage]) -> list[pa.Table]:
    page = read(None)
    pages = [page.bars]
    while page.more:
        page = read(page.reached)
        pages.insert(0, page.bars)
    return pages


@pytest.mark.parametrize("small", [0, 100_000])  # all files large, all small
@settings(max_examples=5, deadline=None)
@given(
    files=st.lists(st.lists(st.integers(0, HISTORY_US // 1_000_000) | st.integers(0, 90), min_size=1, max_size=4), max_size=3),
    size=st.sampled_from(["1s", "1m", "1h", "1d"]),
    count=st.integers(1, 5),
)
def test_pages_add_up_to_all_bars(small: int, files: list[list[int]], size: str, count: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bar_history, "SMALL_FILE_ROWS", small)
        patch.setattr(bar_history, "ROWS_PER_STEP", 3)
        built = BuiltLake(Path(folder) / "data")
        for seconds in files:
            built.store(
                [tick(symbol, 100 + number, second) for number, second in enumerate(seconds) for symbol in ("AAPL", "IBM")]
            )
        lake, step = Lake(built.paths.root), step_us(size)
        history, snapshot = BarHistory(lake.engine, 10**6), open_snapshot(built.paths)
        expected = lake.bars(size, "AAPL").arrow
        pages = backward(lambda end: history.before(snapshot, "AAPL", step, end, count))
        assert pa.concat_tables(pages).equals(expected)
        begin, forward, more = 0, [expected.slice(0, 0)], True
        while more:
            page = history.after(snapshot, "AAPL", step, begin, count)
            forward.append(page.bars)
            begin, more = page.reached, page.more
        assert pa.concat_tables(forward).equals(expected)


def test_a_page_ends_before_the_asked_time(built: BuiltLake) -> None:
    lake = Lake(built.paths.root)
    history, snapshot = BarHistory(lake.engine, 10**6), open_snapshot(built.paths)
    minute = UNIT_US["m"]
    begin = int(BEGIN.timestamp()) * 1_000_000
    page = history.before(snapshot, "AAPL", minute, begin + minute, 10)
    assert page.bars.column("ticks").to_pylist() == [4]
    assert not page.more
    assert history.after(snapshot, "AAPL", minute, begin + minute, 10).bars.column("ticks").to_pylist() == [1]
    assert history.before(snapshot, "IBM", minute, None, 10).bars.num_rows == 0
