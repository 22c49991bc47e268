"""A file's columns: unused ones are named, and a column that only may be a time, a size or a symbol is a question."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance_producer.config import Settings
from finance_producer.reading.columns import COLUMNS, Column, choose
from finance_producer.reading.options import AmbiguousError, Options, UnreadableFileError, decided
from finance_producer.reading.reader import read

FILE = Path("f.csv")


def _columns(names: str) -> list[Column]:
    return [Column(name) for name in names.split(",")]


def _choose(names: str, **mapped: str) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
    columns = choose(FILE, _columns(names), Options(mapped=mapped))
    return columns.places, columns.unused


def _refusal(names: str, ignored: str = "", **mapped: str) -> str:
    options = Options(mapped=mapped, ignored=tuple(filter(None, ignored.split(","))), spelling="setting")
    with pytest.raises(UnreadableFileError) as error:
        choose(FILE, _columns(names), options)
    return str(error.value)


def test_our_columns_are_found_in_any_order_and_all_others_are_unused() -> None:
    expected = {"symbol": (3,), "price": (1,), "ts_event": (2,)}
    assert _choose("venue,price,ts_event,symbol,side") == (expected, ("venue", "side"))
    every = ",".join(COLUMNS)
    assert _choose(f"{every},timestamp,volume,ticker")[1] == ("timestamp", "volume", "ticker")  # ours all exist


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *((name, "ts_event") for name in ("timestamp", "Timestamp", "time", "Date", "datetime", "tradeTime", "ts", "Gmt time")),
        *((name, "size") for name in ("volume", "Vol", "qty", "Quantity", "shares", "trade_size", "Size", "lastSize")),
    ],
)
def test_a_well_known_name_is_the_column(name: str, ours: str) -> None:
    places, unused = _choose(f"symbol,price,{name},venue")
    assert places[ours] == (2,)
    assert unused == ("venue",)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *((name, "ts_event") for name in ("ts_recv", "time_ms", "eventTime", "epoch", "Local time", "settlement date", "t")),
        *((name, "size") for name in ("baseVolume", "lots", "v", "bid_size", "quote_qty")),
    ],
)
def test_a_column_that_only_may_be_a_size_or_a_time_is_refused_with_both_remedies(name: str, ours: str) -> None:
    message = _refusal(f"symbol,price,{name}")
    assert message == (
        f"f.csv has no column {ours}, but one that may be it: {name!r}. Use REPLAY_MAP={ours}={name}."
        f" Or leave it out with REPLAY_IGNORE_COLUMNS={name}. It has: 'symbol', 'price', {name!r}."
    )
    assert _choose(f"symbol,price,{name}", **{ours: name})[0][ours] == (2,)
    columns = choose(FILE, _columns(f"symbol,price,{name}"), Options(ignored=(name,)))
    assert columns.unused == (name,)


def test_two_well_known_names_are_a_question_and_each_choice_answers_it() -> None:
    columns, options = _columns("symbol,price,timestamp,time"), Options()
    with pytest.raises(AmbiguousError, match="several that may be it: 'timestamp', 'time'") as error:
        choose(FILE, columns, options)
    assert list(error.value.choices) == ["mapped=ts_event=timestamp", "mapped=ts_event=time", "ignored=timestamp,time"]
    found = [choose(FILE, columns, decided(options, choice)).places.get("ts_event") for choice in error.value.choices]
    assert found == [(2,), (3,), None]


@pytest.mark.parametrize("name", ["venue", "side", "exchange", "condition", "trade_id", "lifecycle", "note"])
def test_an_unrelated_column_is_unused(name: str) -> None:
    assert _choose(f"symbol,price,{name}")[1] == (name,)


@pytest.mark.parametrize(
    "example", ["2024-01-05", "2024-01-05T12:00:00Z", "2024-01-05 12:00", "1/5/2024", "05.01.2024 10:00", "2024/01/05"]
)
def test_a_column_of_dates_may_be_the_time_whatever_its_name(example: str) -> None:
    with pytest.raises(AmbiguousError, match="no column ts_event, but one that may be it: 'zeit'"):
        choose(FILE, [Column("symbol", "A"), Column("price", "1"), Column("zeit", example)], Options())


def test_a_date_and_a_time_of_day_are_joined_if_the_user_says_so() -> None:
    columns = [Column("SYM", "A"), Column("PRICE", "1"), Column("DATE", "20240105"), Column("TIME", "9:30:00.5")]
    with pytest.raises(AmbiguousError, match=r"in two columns: 'DATE\+TIME'\. Use --map ts_event=DATE\+TIME\.") as error:
        choose(FILE, columns, Options())
    choice = next(iter(error.value.choices))
    assert choose(FILE, columns, decided(Options(), choice)).places["ts_event"] == (2, 3)


def test_a_file_of_bars_is_a_question() -> None:
    columns = _columns("Ticker,Open,High,Low,Close,Volume,Date")
    with pytest.raises(AmbiguousError, match=r"bars, not ticks.*--ohlc Open,High,Low,Close stores each row as four") as error:
        choose(FILE, columns, Options())
    whole, close = (choose(FILE, columns, decided(Options(), choice)) for choice in error.value.choices)
    assert (whole.ohlc, whole.places["size"], "price" in whole.places) == ((1, 2, 3, 4), (5,), False)
    assert (close.ohlc, close.places["price"]) == ((), (4,))


def test_a_symbol_or_price_with_another_name_is_refused_with_its_mapping() -> None:
    assert "Use REPLAY_MAP=symbol=name." in _refusal("name,price")
    assert "Use REPLAY_MAP=price=Close." in _refusal("symbol,Close")
    message = _refusal("a,b")
    assert "has no column symbol or price; it has: 'a', 'b'. Use REPLAY_MAP=symbol=ITS-NAME,price=ITS-NAME." in message
    assert message.endswith("Or REPLAY_SYMBOL=F for every row.")


def test_a_mapping_that_does_not_fit_the_file_is_refused() -> None:
    message = _refusal("symbol,price", size="volume")
    assert "no such column: volume of REPLAY_MAP=size=volume; it has: 'symbol', 'price'" in message
    assert "has the column x twice" in _refusal("symbol,x,x", price="x")
    assert _choose("ticker,symbol,price", symbol="ticker") == ({"symbol": (0,), "price": (2,)}, ("symbol",))  # the map wins


def test_control_characters_are_escaped_and_long_lists_are_cut() -> None:
    assert "\x1b" not in _refusal("symbol,price,\x1b[31mtime")
    assert len(_refusal(",".join(f"c{number}" for number in range(5000)))) < 1000


def test_columns_are_found_in_parquet_and_arrow_and_times_by_type(tmp_path: Path) -> None:
    table = pa.table({"venue": ["X"], "symbol": ["A"], "zeit": pa.array([0], pa.timestamp("us", "UTC")), "price": ["1"]})
    pq.write_table(table, tmp_path / "f.parquet")
    with pa.ipc.new_file(str(tmp_path / "f.arrow"), table.schema) as file:
        file.write_table(table)
    for name in ("f.parquet", "f.arrow"):
        with pytest.raises(AmbiguousError, match=r"may be it: 'zeit'\. Use --map ts_event=zeit"):
            read(tmp_path / name, Options())
        reading = read(tmp_path / name, Options(mapped={"ts_event": "zeit"}))
        assert reading.plan.columns.unused == ("venue",)
        assert [block.left_out for block in reading.converted] == [[(1, "ts_event_range: '0'")]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ts_event", "'ts_event' is not ours=theirs"),
        ("time=timestamp", "'time' is not one of symbol, price, size, ts_event"),
        ("price=a,price=b", "'price' is listed twice"),
        ("price=a,size=a", "the column 'a' cannot be two of ours"),
        ("price=", "'price=' is not ours=theirs"),
    ],
)
def test_an_invalid_mapping_is_reported_with_the_settings(monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    monkeypatch.setenv("REPLAY_MAP", text)
    with pytest.raises(ValueError, match=message):
        Settings()


def test_how_to_read_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    env_file = """\
REPLAY_MAP=symbol=Ticker, ts_event=trade=time
REPLAY_IGNORE_COLUMNS=volume, venue time,
REPLAY_DELIMITER=tab
REPLAY_DECIMAL_MARK=comma
REPLAY_OHLC=o,h,l,c
REPLAY_TIME_UNIT=auto
"""
    for line in env_file.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    reading = Settings().reading
    assert reading.mapped == {"symbol": "Ticker", "ts_event": "trade=time"}
    assert reading.ignored == ("volume", "venue time")
    assert (reading.delimiter, reading.decimal_mark, reading.ohlc) == ("\t", ",", ("o", "h", "l", "c"))
    assert (reading.time_unit, reading.spelling) == (None, "setting")
