"""Bars as Polars and Python's integers compute them, for tests of those that DuckDB and Spark compute."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

STEP = Decimal("0.00000001")


def bars_of(rows: pl.DataFrame, size: str) -> list[tuple[object, ...]]:
    """Return bars of rows of the tick table by symbol and time: symbol, ts, open, high, low, close, volume, vwap, ticks."""
    ordered = rows.with_columns(pl.col("ts_event_nanos").fill_null(0), ts=pl.col("ts_event").dt.truncate(size)).sort(
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


def vwap(prices: Sequence[Decimal], sizes: Sequence[int | None]) -> Decimal | None:
    """Return the volume-weighted price, rounded half up to 8 decimals; None without volume."""
    volume = sum(size or 0 for size in sizes)
    unscaled = sum(int(price / STEP) * (size or 0) for price, size in zip(prices, sizes, strict=True))
    return (Decimal(unscaled) / volume).quantize(Decimal(1), ROUND_HALF_UP).scaleb(-8) if volume else None
