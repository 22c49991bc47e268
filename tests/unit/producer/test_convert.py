"""Whole columns give what the conversion of single rows gives: the same ticks, the same rows left out, the same reasons."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finance_contract import Malformed, Tick, decode, encode
from finance_producer.reading.columns import Columns
from finance_producer.reading.convert import Converted, convert
from finance_producer.reading.csv_file import Block
from finance_producer.reading.encode import encoded, times_of
from finance_producer.reading.options import DateOrder, TimeUnit
from finance_producer.reading.plan import Plan
from finance_producer.reading.prices import NumberFormat
from finance_producer.reading.row import Cells, tick_of
from finance_producer.reading.times import TimeFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

DIGITS = st.text("0123456789", min_size=1, max_size=12)
NUMBERS = st.one_of(
    st.integers(1, 10**12).map(lambda units: str(Decimal(units).scaleb(-4))),
    st.tuples(DIGITS, st.sampled_from(".,"), DIGITS).map("".join),
    st.tuples(DIGITS, st.sampled_from([".", ",", "e", "E-", ""]), DIGITS).map("".join),
    st.sampled_from(["", " ", "0", "-1", "1e2", "1,234.5", "1.234,5", "nan", "٣", "9" * 70, "0.00000001", "10000000000"]),
)
CLOCKS = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.sampled_from(["", "2024-01-05", "2024-02-30", "2024-03-10 02:30:00", "2024-11-03T01:30:00.5", "2024-11-03 01:30:00Z"]),
    st.sampled_from(["2024-01-05T12:00:00.123456789Z", "2024-01-05 12:00+02:00", "2024-01-05T12:00:60Z", "20240105 9:30:00.5"]),
    st.sampled_from(["1/5/2024 9:30 PM", "05.01.2024 14:30:00.000", "5-Jan-2024", "1704456000.123456", "2024-01-05T24:00:00"]),
    st.integers(-1, 5 * 10**18).map(str),
    st.integers(9 * 10**8, 5 * 10**9).map(str),
    st.integers(9 * 10**11, 5 * 10**12).map(str),
    st.text("0123456789-: TZ.+", max_size=30),
)
SYMBOLS = st.sampled_from(["AAPL", "BRK.B", " MSFT ", "", "aapl", "\xa0IBM", "ES=F", '"', "A" * 300, "é"])
ROWS = st.lists(st.tuples(SYMBOLS, NUMBERS, NUMBERS, CLOCKS), min_size=1, max_size=40)
NUMBER_FORMATS = st.builds(
    NumberFormat,
    mark=st.sampled_from(".,"),
    scale=st.sampled_from([Decimal(1), Decimal("1e-9"), Decimal("1e-4"), Decimal(100), Decimal("0.5")]),
    decimals=st.sampled_from([None, 0, 2, 8]),
)
TIME_FORMATS = st.builds(
    TimeFormat,
    unit=st.sampled_from(get_args(TimeUnit)),
    order=st.sampled_from(get_args(DateOrder)),
    zone=st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe"]),
)
PLACES: dict[str, tuple[int, ...]] = {"symbol": (0,), "price": (1,), "size": (2,), "ts_event": (3,)}


def _plan(price: NumberFormat, size: NumberFormat, time: TimeFormat) -> Plan:
    return Plan(Columns(PLACES, (), ()), "", price, size, time)


def _one_by_one(rows: Sequence[tuple[str, ...]], plan: Plan) -> tuple[list[tuple[object, ...]], list[tuple[int, str]]]:
    ticks: list[tuple[object, ...]] = []
    left_out: list[tuple[int, str]] = []
    for line, (symbol, price, size, time) in enumerate(rows, 2):
        try:
            fields = tick_of(Cells(symbol, [price], size, time, None), plan)
            ticks.append((fields.symbol, fields.prices[0], fields.size, fields.ts_event))
        except Malformed as malformed:
            left_out.append((line, str(malformed)))
    return ticks, left_out


def _fields(converted: Converted) -> list[tuple[object, ...]]:
    ticks = [decode(value) for value in encoded(converted.ticks, "test", 0).values]
    assert [tick.seq for tick in ticks] == list(range(len(ticks)))
    assert times_of(converted.ticks) == [tick.ts_event for tick in ticks]
    return [(tick.symbol, tick.price, tick.size, tick.ts_event) for tick in ticks]


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, price=NUMBER_FORMATS, size=NUMBER_FORMATS, time=TIME_FORMATS)
@example([("AAPL", "1.5", "2", "2024-01-05")], NumberFormat(), NumberFormat(), TimeFormat())
def test_a_block_gives_what_its_rows_give(
    rows: list[tuple[str, ...]], price: NumberFormat, size: NumberFormat, time: TimeFormat
) -> None:
    plan = _plan(price, size._replace(decimals=None), time)
    columns = {place: pa.array([row[place] for row in rows], pa.string()) for place in range(4)}
    converted = convert(Block(np.arange(2, 2 + len(rows)), columns, []), plan)
    assert (_fields(converted), converted.left_out) == _one_by_one(rows, plan)
    assert converted.rows + len(converted.left_out) == len(rows)


@settings(max_examples=200, deadline=None)
@given(
    prices=st.lists(
        st.floats(width=32) | st.floats(-1e38, 1e38) | st.integers(1, 10**9).map(lambda units: units / 10**4),
        min_size=1,
        max_size=30,
    ),
    decimals=st.integers(0, 8),
    single=st.booleans(),
)
@example(prices=[1.005, 2.675, 0.125, 0.375, 1e300, 5e-324], decimals=2, single=False)
def test_a_binary_price_is_the_decimal_nearest_to_its_exact_value(prices: list[float], decimals: int, *, single: bool) -> None:
    column = pa.array(np.array(prices, np.float32 if single else np.float64))
    plan = Plan(
        Columns({"symbol": (), "price": (0,)}, (), ()), "A", NumberFormat(decimals=decimals), NumberFormat(), TimeFormat()
    )
    converted = convert(Block(np.arange(len(prices)), {0: column}, []), plan)
    step, exact = Decimal(1).scaleb(-decimals), Context(prec=500)
    finite = {line: Decimal(value) for line, value in enumerate(column.to_pylist()) if np.isfinite(value)}
    rounded = {line: price.quantize(step, ROUND_HALF_EVEN, exact) for line, price in finite.items()}
    valid = {line: price for line, price in rounded.items() if 0 < price < 10**10}
    assert [fields[1] for fields in _fields(converted)] == list(valid.values())
    assert [line for line, _ in converted.left_out] == [line for line in range(len(prices)) if line not in valid]


def test_a_bar_becomes_four_ticks_or_none() -> None:
    columns = {
        0: pa.array(["A", "B", "C"]),
        1: pa.array(["1.0", "2", "3"]),
        2: pa.array(["4", "x", "4"]),
        3: pa.array(["0.5", "2", "1"]),
        4: pa.array(["2.5", "2", "2"]),
        5: pa.array(["100", "7", ""]),
        6: pa.array(["2024-01-05", "2024-01-05", ""]),
    }
    plan = _plan(NumberFormat(), NumberFormat(), TimeFormat())
    plan = plan._replace(columns=Columns({"symbol": (0,), "size": (5,), "ts_event": (6,)}, (1, 2, 3, 4), ()))
    converted = convert(Block(np.arange(3), columns, []), plan)
    midnight = 1_704_412_800_000_000_000
    assert [(str(price), size, time) for _, price, size, time in _fields(converted)] == [
        *(("1.0", None, midnight), ("4", None, midnight + 1), ("0.5", None, midnight + 2), ("2.5", 100, midnight + 3)),
        *((price, None, None) for price in ("3", "4", "1", "2")),
    ]
    assert converted.rows == 2
    assert [line for line, _ in converted.left_out] == [1]


@pytest.mark.parametrize("symbol", ["AAPL", "BRK.B", "^GSPC", "ES=F", "EUR/USD"])
def test_values_are_those_of_the_contracts_encoder(symbol: str) -> None:
    ticks = [
        Tick(symbol, Decimal("174.50"), 100, 1_704_412_800_000_000_001, 7, "import-1"),
        Tick(symbol, Decimal("0.00000001"), None, None, 8, "import-1"),
    ]
    try:
        decode(encode(ticks[0]))
    except Malformed:
        pytest.skip("not a symbol of this version of the contract")
    columns = {0: pa.array([symbol] * 2), 1: pa.array(["174.50", "0.00000001"])}
    columns |= {2: pa.array(["100", ""]), 3: pa.array(["1704412800000000001", ""])}
    converted = convert(Block(np.arange(2), columns, []), _plan(NumberFormat(), NumberFormat(), TimeFormat()))
    assert encoded(converted.ticks, "import-1", 7).values == [encode(tick) for tick in ticks]
