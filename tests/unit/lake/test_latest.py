"""The search for the newest ticks, compared with all ticks of the table."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

import finance_lake
from finance_contract.tick import Tick, encode
from finance_lake.query import latest
from tests.support.lakes import BuiltLake

# Times at most a few milliseconds apart, so that files overlap and ticks of one moment are in several files.
TICKS = st.builds(
    Tick,
    symbol=st.sampled_from(["AAPL", "IBM", "MSFT"]),
    price=st.decimals(1, 9, places=2),
    ts_event=st.integers(0, 30).map(lambda step: 1_795_514_400_000_000_000 + step * 400_001),
)


@given(batches=st.lists(st.lists(TICKS, min_size=1, max_size=4), min_size=1, max_size=6), most_named=st.sampled_from([1, 1000]))
@settings(max_examples=25, deadline=None)
def test_the_search_finds_the_newest_of_all_ticks(batches: list[list[Tick]], most_named: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        built = BuiltLake(Path(folder), partitions=2)
        for number, batch in enumerate(batches):
            built.store([encode(tick) for tick in batch], partition=number % 2)
        lake = finance_lake.open(folder)
        everything = lake.ticks().pl()  # in order of event time
        with patch.multiple(latest, FIRST_FILES=1, MORE=1, MAX_NAMED_SYMBOLS=most_named):
            found = lake.latest().pl()
        assert found.equals(everything.group_by("symbol", maintain_order=True).last().select(found.columns).sort("symbol"))
        assert lake.symbols() == found["symbol"].to_list()
