"""Replay of a user's file: every digit is kept, bad rows are reported, unusable files are refused with a message."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count, repeat
from pathlib import Path

import bokeh_sampledata
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finance_contract import Reason, Tick, decode
from finance_contract.tick import EVENT_TIMES_NS
from finance_producer.reading.convert import SCHEMA, Converted
from finance_producer.reading.options import Options, UnreadableFileError
from finance_producer.reading.reader import read
from finance_producer.reading.times import nanoseconds
from finance_producer.replay import AHEAD, Replay
from tests.support.nasty_paths import NASTY

STOCKS = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"
NOON = 1_704_456_000_000_000_000  # 2024-01-05T12:00Z


REPLAYED = Options(spelling="setting")


def _replayed(file: Path, options: Options = REPLAYED) -> tuple[list[Tick], list[tuple[int, str]]]:
    """Return the ticks of a file, and the lines and reasons of the rows left out."""
    rejects: list[tuple[int, str]] = []
    replay = Replay(read(file, options).converted, "test", lambda line, reason: rejects.append((line, reason)))
    ticks: list[Tick] = []
    while not replay.ended:
        block = replay.take(7)
        assert all(key == decode(value).symbol.encode() for key, value in zip(block.keys, block.values, strict=True))
        assert block.first == len(ticks)
        ticks += [decode(value) for value in block.values]
    assert [tick.seq for tick in ticks] == list(range(len(ticks)))
    assert {tick.source for tick in ticks} <= {"test"}
    return ticks, rejects


def _csv(folder: Path, text: str | bytes) -> Path:
    file = folder / "prices.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def _parquet(folder: Path, **columns: pa.Array) -> Path:
    file = folder / "prices.parquet"
    pq.write_table(pa.table(columns), file)
    return file


def test_good_rows_become_ticks_digit_for_digit(tmp_path: Path) -> None:
    text = (
        "ts_event,venue,symbol,size,price\n"
        "2024-01-05,X,AAPL,100,174.50\r\n"
        f"{NOON + 1},X,BRK.B,0,0.00000001\n"
        "\n"
        ',"a, b",MSFT,, 9999999999.99999999 \n'
        "2024-01-05T12:00:00.123456789Z,X,ES=F,,1e2\n"
    )
    ticks, rejects = _replayed(_csv(tmp_path, text))
    assert rejects == []
    assert [(tick.symbol, str(tick.price), tick.size, tick.ts_event) for tick in ticks] == [
        ("AAPL", "174.50", 100, NOON - 12 * 3600 * 10**9),
        ("BRK.B", "1E-8", 0, NOON + 1),
        ("MSFT", "9999999999.99999999", None, None),
        ("ES=F", "100", None, NOON + 123_456_789),
    ]


def test_two_columns_and_a_byte_order_mark_are_enough(tmp_path: Path) -> None:
    ticks, _ = _replayed(_csv(tmp_path, b"\xef\xbb\xbfsymbol,price\nAAPL,1\n"))
    assert ticks == [Tick("AAPL", Decimal(1), seq=0, source="test")]


BAD = {
    "(AAPL),1,,": Reason.SYMBOL_INVALID,
    ",1,,": Reason.SYMBOL_MISSING,
    "AAPL,,,": Reason.PRICE_MISSING,
    "AAPL,abc,,": Reason.PRICE_TYPE,
    "AAPL,nan,,": Reason.PRICE_TYPE,
    "AAPL,1_0,,": Reason.PRICE_TYPE,
    "AAPL,٣,,": Reason.PRICE_TYPE,
    "AAPL,0,,": Reason.PRICE_RANGE,
    "AAPL,-1,,": Reason.PRICE_RANGE,
    "AAPL,1e99,,": Reason.PRICE_RANGE,
    "AAPL,10000000000,,": Reason.PRICE_RANGE,
    "AAPL,0.123456789,,": Reason.PRICE_DECIMALS,
    "AAPL,1,1.5,": Reason.SIZE_TYPE,
    "AAPL,1,1e2,": Reason.SIZE_TYPE,
    "AAPL,1,-1,": Reason.SIZE_RANGE,
    f"AAPL,1,{10**59},": Reason.SIZE_RANGE,
    "AAPL,1,,yesterday": Reason.TS_EVENT_TYPE,
    "AAPL,1,,2024-02-30": Reason.TS_EVENT_TYPE,
    f"AAPL,1,,{NOON}0": Reason.TS_EVENT_RANGE,
    f"AAPL,1,,{NOON // 10**9}": Reason.TS_EVENT_RANGE,
    "AAPL,1,,1999-12-31": Reason.TS_EVENT_RANGE,
    "AAPL,1": Reason.NOT_AN_OBJECT,
    "AAPL,1,2,3,4": Reason.NOT_AN_OBJECT,
    'AAPL,"1"2,,': Reason.NOT_AN_OBJECT,
}


def test_bad_rows_are_left_out_and_reported_by_line_and_reason(tmp_path: Path) -> None:
    lines = ["symbol,price,size,ts_event"] + [line for bad in BAD for line in (bad, f"AAPL,2.5,,{NOON}")]
    ticks, rejects = _replayed(_csv(tmp_path, "\n".join(lines)), Options(time_unit="ns"))
    assert [tick.price for tick in ticks] == [Decimal("2.5")] * len(BAD)
    assert [(line, reason.split(":")[0]) for line, reason in rejects] == [
        (2 + 2 * place, str(reason)) for place, reason in enumerate(BAD.values())
    ]


def test_invalid_utf_8_rejects_only_its_row(tmp_path: Path) -> None:
    ticks, rejects = _replayed(_csv(tmp_path, b"symbol,price\nA\xffPL,1\nAAPL,2\n"))
    assert [tick.price for tick in ticks] == [2]
    assert [line for line, _ in rejects] == [2]


def test_an_unclosed_quote_is_reported_where_it_opens(tmp_path: Path) -> None:
    lost = "".join("MSFT,3\n" for _ in range(30_000))  # longer than the csv module's limit for a cell
    ticks, rejects = _replayed(_csv(tmp_path, f'symbol,price\nAAPL,1\nAAPL,"2\n{lost}AAPL,4\n'))
    assert ticks[0].price == 1
    assert ticks[-1].price == 4
    assert [line for line, _ in rejects] == [3]
    assert "lines 3 to " in rejects[0][1]


def test_a_long_file_is_streamed() -> None:
    blocks = count()
    ticks = pa.Table.from_pylist([{"symbol": "AAPL", "price": "1"}] * AHEAD, schema=SCHEMA).to_batches()[0]
    endless = (Converted(ticks, AHEAD + 0 * next(blocks), []) for _ in repeat(None))
    replay = Replay(endless, "test", lambda *_: None)
    assert len(replay.take(AHEAD * 5).values) == AHEAD
    assert not replay.ended
    assert next(blocks) <= 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: download it or write it again"),
        ("symbol,size\nAAPL,1\n", "no column price; it has: 'symbol', 'size'."),
        ("symbol,price,price\nAAPL,1,2\n", "the column price twice"),
        ('"symbol\x1b"x,price\n', "its first line is not CSV"),
        ("\x1b[31m,x\n", r"it has: '\x1b[31m'"),
    ],
)
def test_an_unusable_csv_file_is_refused_with_a_message(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnreadableFileError) as error:
        _replayed(_csv(tmp_path, text))
    assert message in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_missing_file_is_refused_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match=r"none\.csv cannot be read: No such file or directory\."):
        _replayed(tmp_path / "none.csv")
    with pytest.raises(UnreadableFileError, match="Is a directory"):
        _replayed(tmp_path)


@pytest.mark.parametrize("name", [*NASTY.values(), "e%20f", "a\\b"])
def test_a_file_with_an_unusual_name_is_opened(tmp_path: Path, name: str) -> None:
    for decoy in ("a", "axb"):
        (tmp_path / decoy).mkdir()
        (tmp_path / decoy / f"{decoy}.csv").write_text("symbol,price\nWRONG,9\n")
    file = tmp_path / name / f"{name}.csv"
    file.parent.mkdir()
    file.write_text("symbol,price\nAAPL,1\n")
    ticks, _ = _replayed(file)
    assert [(tick.symbol, tick.price) for tick in ticks] == [("AAPL", Decimal(1))]


@pytest.mark.parametrize("name", ["date=2026-11-25", "symbol=X", "*", "[a]?", "a,b\\ e%20f", "s3:"])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_columnar_file_with_an_unusual_name_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    table = pa.table({"symbol": ["AAPL"], "price": ["1"]})
    file = Path(name, f"{name}.{ending}")  # relative, as a user may pass it
    with file.open("wb") as stream:
        if ending == "parquet":
            pq.write_table(table, stream)
        else:
            with pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table)
    ticks, _ = _replayed(file)
    assert [(tick.symbol, tick.price, tick.ts_event) for tick in ticks] == [("AAPL", Decimal(1), None)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        (str(NOON + 1), NOON + 1),
        ("-1", -1),
        ("2024-01-05", NOON - 43_200 * 10**9),
        ("2024-01-05 12:00", NOON),
        ("2024-01-05T12:00:00", NOON),
        ("2024-01-05T12:00:00Z", NOON),
        ("2024-01-05 14:00:00+02:00", NOON),
        ("2024-01-05 14:00:00+02", NOON),
        ("2024-01-05T06:30:00-0530", NOON),
        ("2024-01-05T12:00:00.1Z", NOON + 100_000_000),
        ("2024-01-05T12:00:00.000000001", NOON + 1),
        ("2024-01-05T14:00:00.999999999+02:00", NOON + 999_999_999),
        ("1969-12-31T23:59:59.999999999Z", -1),
    ],
)
def test_times_in_every_notation_keep_their_nanoseconds(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "today", "2024-1-5", "2024-13-01", "2024-01-05T25:00", "2024-01-05T12", "2024-01-05T12:00:00.1234567890", "1e18"],
)
def test_other_text_is_not_a_time(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (the message does not matter: the caller reports the row)
        nanoseconds(text)


@given(st.integers(EVENT_TIMES_NS[0], EVENT_TIMES_NS[-1]))
def test_iso_text_and_integer_give_the_same_time(moment: int) -> None:
    seconds, rest = divmod(moment, 10**9)
    assert (
        nanoseconds(f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09}Z")
        == nanoseconds(str(moment))
        == moment
    )


def test_parquet_decimals_and_nanoseconds_are_exact(tmp_path: Path) -> None:
    prices = [Decimal("174.50000000"), Decimal("0.00000001"), Decimal("9999999999.99999999"), None]
    file = _parquet(
        tmp_path,
        symbol=pa.array(["AAPL", "MSFT", "IBM", "GOOG"]),
        price=pa.array(prices, pa.decimal128(18, 8)),
        size=pa.array([1, None, 3, 4], pa.uint32()),
        ts_event=pa.array([NOON, NOON + 1, None, NOON], pa.timestamp("ns")),
    )
    ticks, rejects = _replayed(file)
    assert [tick.price for tick in ticks] == prices[:3]
    assert [tick.size for tick in ticks] == [1, None, 3]
    assert [tick.ts_event for tick in ticks] == [NOON, NOON + 1, None]
    assert rejects == [(4, "price_missing: empty")]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (pa.array([NOON // 1000 + 1], pa.timestamp("us", "Europe/Berlin")), NOON + 1000),
        (pa.array([NOON // 1000 + 1], pa.timestamp("us")), NOON + 1000),
        (pa.array([NOON // 86_400 // 10**9], pa.date32()), NOON - 43_200 * 10**9),
        (pa.array([NOON + 1], pa.int64()), NOON + 1),
        (pa.array(["2024-01-05T12:00:00.000000001Z"]), NOON + 1),
    ],
)
def test_parquet_times_of_every_type_are_read(tmp_path: Path, times: pa.Array, expected: int) -> None:
    ticks, _ = _replayed(_parquet(tmp_path, symbol=pa.array(["A"]), price=pa.array(["1.10"]), ts_event=times))
    assert [(str(tick.price), tick.ts_event) for tick in ticks] == [("1.10", expected)]


@pytest.mark.parametrize("floating", [pa.float32(), pa.float64()])
def test_a_price_in_binary_floating_point_is_refused_with_a_message(tmp_path: Path, floating: pa.DataType) -> None:
    file = _parquet(tmp_path, symbol=pa.array(["A"]), price=pa.array([174.5], floating))
    with pytest.raises(
        UnreadableFileError, match=r"price as (float|double), binary floating point.*: REPLAY_DECIMALS=2 says how many decimals"
    ):
        _replayed(file)


def test_other_unusable_parquet_files_are_refused_with_a_message(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="no column price"):
        _replayed(_parquet(tmp_path, symbol=pa.array(["A"])))
    with pytest.raises(UnreadableFileError, match="price as bool, which is not supported for it"):
        _replayed(_parquet(tmp_path, symbol=pa.array(["A"]), price=pa.array([True])))
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UnreadableFileError, match=r"torn\.parquet cannot be read"):
        _replayed(torn)


def _closes() -> list[dict[str, str]]:
    with gzip.open(STOCKS, "rt", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("as_parquet", [False, True])
def test_every_real_close_is_encoded_digit_for_digit(tmp_path: Path, as_parquet: bool) -> None:  # noqa: FBT001
    closes = _closes()
    if as_parquet:
        columns = {"symbol": "Ticker", "price": "Close", "ts_event": "Date"}
        file = _parquet(tmp_path, **{name: pa.array([row[column] for row in closes]) for name, column in columns.items()})
    else:
        lines = ["symbol,price,ts_event", *(f"{row['Ticker']},{row['Close']},{row['Date']}" for row in closes)]
        file = _csv(tmp_path, "\n".join(lines))
    rows = read(file, Options(spelling="setting")).converted
    replay = Replay(rows, "test", lambda *_: pytest.fail("a real close was left out"))
    values = []
    while not replay.ended:
        values += replay.take(1000).values

    assert {row["Ticker"] for row in closes} == {"AAPL", "FB", "GOOG", "IBM", "MSFT"}
    assert len(values) == len(closes) > 12_000
    for seq, (row, value) in enumerate(zip(closes, values, strict=True)):
        midnight = int(datetime.fromisoformat(f"{row['Date']}T00:00Z").timestamp()) * 10**9
        assert value == (
            f'{{"symbol":"{row["Ticker"]}","price":{row["Close"]},"ts_event":{midnight},"seq":{seq},"source":"test"}}'.encode()
        )
