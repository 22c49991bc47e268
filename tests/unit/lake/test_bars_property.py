"""Bars of arbitrary ticks equal those that Polars computes from the raw rows, with exact VWAP."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Tick
from finance_contract.tick import encode
from finance_lake.lake import Lake
from tests.support.lakes import BuiltLake
from tests.support.polars_bars import bars_of
from tests.unit.lake.conftest import BEGIN_NS

PRICES = st.integers(1, 10**18 - 1).map(lambda unscaled: Decimal(unscaled).scaleb(-8))
TICKS = st.builds(
    Tick,
    symbol=st.sampled_from(["AAPL", "MSFT", "BRK.B"]),
    price=PRICES,
    size=st.none() | st.integers(0, 1000),
    ts_event=st.none()
    | st.integers(BEGIN_NS - 10**9, BEGIN_NS + 90 * 10**9)
    | st.integers(0, 200).map(lambda ns: BEGIN_NS + ns),
)


@settings(max_examples=40, deadline=None)
@given(batches=st.lists(st.lists(TICKS, max_size=12), min_size=1, max_size=4), data=st.data())
def test_bars_equal_those_that_polars_computes(batches: list[list[Tick]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        built = BuiltLake(Path(folder) / "data", partitions=2)
        lake = Lake(built.paths.root)
        for batch in batches:
            built.store([encode(tick) for tick in batch], partition=data.draw(st.integers(0, 1)))
            lake.bars("30s")  # so the next call combines cached and new files
        bars = lake.bars("30s")
        raw = pl.read_delta(str(built.paths.ticks))
        assert [tuple(row.values()) for row in bars.rows()] == bars_of(raw, "30s")
        assert bars.arrow.equals(Lake(built.paths.root).bars("30s").arrow)
        assert lake.bars("30s", "AAPL").pl().equals(bars.pl().filter(pl.col("symbol") == "AAPL"))
