"""Bars of arbitrary ticks equal those that Polars computes from the raw rows, with exact VWAP."""

from __future__ import annotations

import tempfile
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import Tick
from finance_contract.tick import encode
from finance_lake.lake import Lake
from tests.support.lakes import BuiltLake
from tests.unit.lake.conftest import BEGIN_NS

STEP = Decimal("0.00000001")
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


def expected(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    """Compute bars of 30 seconds another way: sort, then use the first and last tick."""
    ordered = rows.with_columns(pl.col("ts_event_nanos").fill_null(0), ts=pl.col("ts_event").dt.truncate("30s")).sort(
        "ts_event", "ts_event_nanos", "kafka_partition", "kafka_offset"
    )
    bars = ordered.group_by("symbol", "ts", maintain_order=True).agg(
        pl.col("price").first().alias("open"),
        pl.col("price").max().alias("high"),
        pl.col("price").min().alias("low"),
        pl.col("price").last().alias("close"),
        pl.col("size").sum().alias("volume"),
        pl.col("price").alias("prices"),
        pl.col("size").alias("sizes"),
        pl.len().alias("ticks"),
    )
    return [(*bar[:7], vwap(bar[7], bar[8]), bar[9]) for bar in bars.sort("symbol", "ts").iter_rows()]


def vwap(prices: list[Decimal], sizes: list[int | None]) -> Decimal | None:
    """Compute the VWAP with Python's integers."""
    volume = sum(size or 0 for size in sizes)
    unscaled = sum(int(price / STEP) * (size or 0) for price, size in zip(prices, sizes, strict=True))
    return (Decimal(unscaled) / volume).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-8) if volume else None


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
        assert [tuple(row.values()) for row in bars.rows()] == expected(raw)
        assert bars.arrow.equals(Lake(built.paths.root).bars("30s").arrow)
        assert lake.bars("30s", "AAPL").pl().equals(bars.pl().filter(pl.col("symbol") == "AAPL"))
