"""Floats, returns, resampling and markouts, against plain Python and Polars."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import finance_lake as fl
from finance_contract import Tick
from finance_contract.tick import encode
from finance_lake.lake import Lake
from finance_lake.query.floats import nearest_floats
from finance_lake.query.result import Result
from tests.support.lakes import BuiltLake
from tests.unit.lake.conftest import BEGIN, BEGIN_NS

PRICES = st.integers(1, 10**18 - 1).map(lambda unscaled: Decimal(unscaled).scaleb(-8))
TICKS = st.lists(
    st.builds(
        Tick,
        symbol=st.sampled_from(["AAPL", "MSFT"]),
        price=PRICES,
        size=st.none() | st.integers(0, 1000),
        ts_event=st.integers(0, 120 * 10**9).map(lambda ns: BEGIN_NS + ns),
    ),
    max_size=20,
)


def lake_of(folder: str | Path, ticks: list[Tick]) -> Lake:
    built = BuiltLake(Path(folder) / "data")
    if ticks:
        built.store([encode(tick) for tick in ticks])
    return Lake(built.paths.root)


# ---- floats ----------------------------------------------------------------------------------------------------------


@given(
    values=st.lists(st.none() | st.integers(-(10**18) + 1, 10**18 - 1), max_size=30),
    scale=st.integers(0, 18),
    begin=st.integers(0, 5),
)
def test_a_float_is_the_nearest_to_its_decimal(values: list[int | None], scale: int, begin: int) -> None:
    exact = [None if value is None else Decimal(value).scaleb(-scale) for value in values]
    column = pa.chunked_array([pa.array(exact, pa.decimal128(38, scale)), pa.array(exact, pa.decimal128(38, scale))])
    floats = nearest_floats(column.slice(min(begin, len(column))))
    kept = (exact + exact)[begin:]
    assert [None if math.isnan(value) else value for value in floats] == [None if v is None else float(v) for v in kept]


@given(st.integers(1, 10**15 - 1))
def test_a_price_of_15_digits_comes_back_by_rounding(unscaled: int) -> None:
    exact = Decimal(unscaled).scaleb(-8)
    (value,) = nearest_floats(pa.chunked_array([pa.array([exact], pa.decimal128(18, 8))]))
    assert Decimal(repr(round(float(value), 8))) == exact


def test_decimals_of_another_width_are_converted_too() -> None:
    column = pa.chunked_array([pa.array([Decimal("1.5"), None], pa.decimal256(60, 30))])
    assert nearest_floats(column)[0] == 1.5


def test_a_frame_of_floats_has_the_time_as_index(lake: Lake) -> None:
    frame = lake.ticks("AAPL").df(floats=True, tz="America/New_York")
    assert isinstance(frame.index, pd.DatetimeIndex)
    assert (str(frame.index.tz), frame.index.name, frame.index[0].isoformat()) == (
        "America/New_York",
        "ts_event",
        "2026-11-24T05:30:00-05:00",
    )
    assert (frame["price"].dtype, frame["size"].dtype, frame["seq"].dtype) == (np.float64, np.float64, np.int64)
    assert frame["price"].tolist() == [100, 102, 98, 99.5, 101]
    assert frame["size"].isna().tolist() == [False, False, True, True, False]
    assert frame["price"].resample("1min").last().tolist() == [99.5, 101]
    frame["fee"] = frame["price"] * 0.01  # the columns are ordinary ones
    assert str(frame["kafka_timestamp"].dt.tz) == "America/New_York"
    assert "ts_event_nanos" not in frame


def test_a_frame_without_a_time_is_numbered(lake: Lake) -> None:
    frame = lake.sql("SELECT symbol, max(price) AS high, count(*) AS n FROM ticks GROUP BY symbol ORDER BY symbol").df(
        floats=True
    )
    assert frame.to_dict("list") == {"symbol": ["AAPL", "MSFT"], "high": [102.0, 401.0], "n": [5, 2]}


def test_frames_keep_nanoseconds_columns_and_their_order(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, [Tick("AAPL", Decimal("1.1"), ts_event=BEGIN_NS + 1_001), Tick("AAPL", Decimal("1.1"))])
    result = lake.ticks("AAPL")
    assert result.df(floats=True).index[0].nanosecond == 1
    assert result.to_numpy()["ts_event"][0] == np.datetime64(BEGIN_NS + 1_001, "ns")
    bars = lake.bars("1m")
    assert bars.df(floats=True).columns.tolist() == bars.columns[:1] + bars.columns[2:]
    assert bars.df().columns.tolist() == bars.columns


def test_the_zone_of_a_query_is_the_zone_of_its_frame(lake: Lake) -> None:
    assert str(lake.bars("1d", tz="Asia/Tokyo").df(floats=True).index.tz) == "Asia/Tokyo"
    assert str(lake.bars("1d", tz="Asia/Tokyo").df(floats=True, tz="UTC").index.tz) == "UTC"
    assert lake.bars("1d", tz="Asia/Tokyo").pl(floats=True).schema["ts"] == pl.Datetime("us", "Asia/Tokyo")
    with pytest.raises(fl.RequestError, match="is not a time zone"):
        lake.bars().df(floats=True, tz="Nowhere")


def test_polars_and_numpy_get_the_same_floats(lake: Lake) -> None:
    result = lake.ticks("AAPL")
    assert result.pl(floats=True)["price"].to_list() == result.to_numpy()["price"].tolist() == [100, 102, 98, 99.5, 101]
    assert result.pl(floats=True)["size"].to_list() == [10, 30, None, None, 5]
    arrays = result.to_numpy()
    assert list(arrays) == result.columns
    assert arrays["symbol"].tolist() == ["AAPL"] * 5
    assert arrays["ts_event"].dtype == arrays["kafka_timestamp"].dtype == np.dtype("datetime64[ns]")
    assert result.pl().schema["price"] == pl.Decimal(18, 8)


def test_no_rows_are_a_frame_with_all_columns(lake: Lake) -> None:
    result = lake.ticks("IBM")
    assert len(result.df(floats=True)) == len(result.pl(floats=True)) == len(result.to_numpy()["price"]) == 0
    assert result.df(floats=True)["price"].dtype == np.float64


def test_times_that_nanoseconds_cannot_hold_stay_microseconds() -> None:
    far = datetime(2500, 1, 1, tzinfo=UTC)
    result = Result(pa.table({"ts": pa.array([far], pa.timestamp("us", "UTC")), "x": [1.0]}), 1)
    assert result.df(floats=True).index[0].isoformat() == "2500-01-01T00:00:00+00:00"


# ---- returns ---------------------------------------------------------------------------------------------------------


EXACT = Context(prec=60)
# The first two are changes of -1 in floats, although the price is not 0.
FALLS = ("9999999999", "0.00000001", "338272178.86216191", "0.00000004", "0.00000003")


def fractions_of(closes: list[Decimal]) -> list[Fraction | None]:
    pairs = pairwise(closes)
    return [None, *((Fraction(now) - Fraction(before)) / Fraction(before) for before, now in pairs)] if closes else []


@settings(max_examples=30, deadline=None)
@given(ticks=TICKS)
@example(ticks=[Tick("AAPL", Decimal(price), ts_event=BEGIN_NS + 10**10 * bar) for bar, price in enumerate(FALLS)])
def test_returns_are_the_ratios_of_exact_closes(ticks: list[Tick]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(folder, ticks)
        for symbol in ("AAPL", "MSFT"):
            closes = [bar["close"] for bar in lake.bars("10s", symbol).rows()]
            plain, logs = lake.returns("10s", symbol).rows(), lake.returns("10s", symbol, log=True).rows()
            logarithms = [None, *(float(EXACT.ln(EXACT.divide(now, before))) for before, now in pairwise(closes))]
            for row, other, ratio, logarithm in zip(plain, logs, fractions_of(closes), logarithms[: len(plain)], strict=True):
                if ratio is None:
                    assert (row["previous"], row["change"], row["return"], other["return"]) == (None,) * 4
                    continue
                assert row["change"] == row["close"] - row["previous"]
                assert abs(row["return"] - float(ratio)) <= 2 * math.ulp(float(ratio))
                assert other["return"] == pytest.approx(logarithm, rel=1e-14)


# ---- resampling ------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS, how=st.sampled_from([{}, {"tz": "America/New_York"}, {"session": "XNYS"}]))
def test_resampled_ticks_are_bars(ticks: list[Tick], how: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(folder, ticks)
        for size in ("7s", "1d", "1w"):
            assert lake.resample(lake.ticks(), size, **how).arrow == lake.bars(size, **how).arrow  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS)
def test_resampled_bars_are_longer_bars(ticks: list[Tick]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(folder, ticks)
        for one, other in zip(lake.resample(lake.bars("5s"), "1m").rows(), lake.bars("1m").rows(), strict=True):
            assert {**one, "vwap": None} == {**other, "vwap": None}
            assert (one["vwap"] is None) == (other["vwap"] is None)
            assert one["vwap"] is None or abs(one["vwap"] - other["vwap"]) <= Decimal("0.00000001")


def test_an_unknown_vwap_or_volume_makes_the_longer_bar_unknown(tmp_path: Path) -> None:
    sizes = (2**63 - 1, 2**63 - 1, 1)
    lake = lake_of(
        tmp_path, [Tick("AAPL", Decimal(5), size=size, ts_event=BEGIN_NS + n * 10**9) for n, size in enumerate(sizes)]
    )
    (bar,) = lake.resample(lake.bars("2s"), "1m").rows()
    assert (bar["volume"], bar["vwap"], bar["ticks"]) == (None, None, 3)


def test_filtered_ticks_of_a_query_can_be_resampled(lake: Lake) -> None:
    large = lake.sql("SELECT * FROM ticks WHERE size >= 10")
    assert [(bar["open"], bar["close"], bar["ticks"]) for bar in lake.resample(large, "1h").rows()] == [(100, 102, 2)]
    with pytest.raises(fl.RequestError, match="Ticks without the column size cannot be resampled"):
        lake.resample(lake.sql("SELECT symbol, price, ts_event FROM ticks"), "1h")
    with pytest.raises(fl.RequestError, match="Only ticks and bars can be resampled"):
        lake.resample(lake.sql("SELECT symbol FROM ticks"), "1h")


# ---- filling ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS, zone=st.sampled_from([None, "Asia/Kathmandu"]))
def test_filled_bars_carry_the_close(ticks: list[Tick], zone: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(folder, ticks)
        filled, bars = lake.bars("10s", tz=zone, fill=True).rows(), lake.bars("10s", tz=zone).rows()
        assert [bar for bar in filled if bar["ticks"]] == bars
        for one, other in pairwise(filled):
            if one["symbol"] == other["symbol"]:
                assert other["ts"] - one["ts"] == timedelta(seconds=10)
                if not other["ticks"]:
                    carried = (one["close"],) * 4
                    assert tuple(other[name] for name in ("open", "high", "low", "close")) == carried
                    assert (other["volume"], other["vwap"]) == (0, None)


def test_filling_more_bars_than_memory_holds_is_refused(tmp_path: Path) -> None:
    times = (BEGIN_NS, BEGIN_NS + 365 * 86_400 * 10**9)
    lake = lake_of(tmp_path, [Tick("AAPL", Decimal(1), ts_event=time) for time in times])
    for zone in (None, "Asia/Tokyo"):
        with pytest.raises(fl.RequestError, match="fill=True would make 31,"):
            lake.bars("1s", tz=zone, fill=True)
    assert len(lake.bars("1d", fill=True)) == 366


# ---- joins by time ---------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    ticks=TICKS, horizons=st.lists(st.sampled_from(["1ns", "0s", "1s", "250ms", "30s", "-5s", "1m"]), min_size=1, unique=True)
)
def test_a_markout_is_the_price_a_horizon_later(ticks: list[Tick], horizons: list[str]) -> None:
    steps = {"0s": 0, "1s": 10**9, "250ms": 25 * 10**7, "30s": 30 * 10**9, "-5s": -5 * 10**9, "1m": 60 * 10**9}
    horizons = [name for name in horizons if name in steps] or ["1s"]
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(folder, ticks)
        rows = lake.markout(lake.ticks(), horizons).rows()
        assert len(rows) == len(ticks)
        for row in rows:
            same = [other for other in rows if other["symbol"] == row["symbol"]]
            for name in horizons:
                then = nanoseconds(row) + steps[name]
                before = [other for other in same if nanoseconds(other) <= then]
                known = before and then <= max(map(nanoseconds, same))
                price = max(before, key=lambda other: (nanoseconds(other), other["kafka_offset"]))["price"] if known else None
                assert row[f"price_{name}"] == price
                assert row[f"markout_{name}"] == (None if price is None else price - row["price"])


def nanoseconds(row: dict[str, Any]) -> int:
    since = row["ts_event"] - datetime(1970, 1, 1, tzinfo=UTC)
    return int(since // timedelta(microseconds=1) * 1000 + (row["ts_event_nanos"] or 0))


def test_a_markout_of_a_symbol_and_against_another(lake: Lake) -> None:
    own = lake.markout("AAPL", ["10s", timedelta(seconds=60)], end=BEGIN + timedelta(seconds=25))
    assert own.columns[-4:] == ["price_10s", "markout_10s", "price_60s", "markout_60s"]
    assert own.arrow.column("markout_10s").to_pylist() == [0, -4]
    assert own.arrow.schema.field("markout_10s").type == pa.decimal128(18, 8)
    other = lake.markout("AAPL", ["10s"], of="MSFT")
    assert other.arrow.column("price_10s").to_pylist() == [400, 400, 400, 400, None]
    closes = lake.markout(lake.bars("1m"), ["1m"], of=lake.bars("1m"), price="close")
    assert [row["markout_1m"] for row in closes.rows()] == [Decimal("1.5"), None, 1, None]


@pytest.mark.parametrize(
    ("horizons", "what"),
    [(["soon"], "horizon='soon' is not a duration"), ([], "horizons is empty"), (["1e9d"], "is not a duration")],
)
def test_horizons_that_are_none_are_refused(lake: Lake, horizons: list[str], what: str) -> None:
    with pytest.raises(fl.RequestError, match=what):
        lake.markout("AAPL", horizons)


def test_a_markout_without_a_price_is_refused(lake: Lake) -> None:
    with pytest.raises(fl.RequestError, match="needs the column 'price'"):
        lake.markout(lake.bars())


@pytest.mark.parametrize(
    ("tolerance", "found"),
    [
        ("20s", [None, 400, 400, None, None]),
        ("19999ms", [None, 400, None, None, None]),
        (timedelta(seconds=30), [None, 400, 400, 400, None]),
        ("0s", [None] * 5),
    ],
)
def test_an_asof_join_has_a_tolerance(lake: Lake, tolerance: str, found: list[int | None]) -> None:
    assert lake.asof("AAPL", "MSFT", tolerance=tolerance).arrow.column("price_right").to_pylist() == found


@pytest.mark.parametrize("tolerance", ["-1s", "1w", "", timedelta(seconds=-1), "99999999999d"])
def test_a_tolerance_that_is_none_is_refused(lake: Lake, tolerance: str) -> None:
    with pytest.raises(fl.RequestError, match=r"tolerance=.* is not a duration"):
        lake.asof("AAPL", "MSFT", tolerance=tolerance)


def test_the_repr_of_a_lake_has_version_ticks_and_range(lake: Lake, tmp_path: Path) -> None:
    assert repr(lake).endswith("data'): version 3, 7 ticks, 2026-11-24 10:30 to 2026-11-24 10:31 UTC>")
    assert repr(lake_of(tmp_path / "new", [])).endswith("version 0, 0 ticks>")
