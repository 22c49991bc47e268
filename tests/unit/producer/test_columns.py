"""A file's columns: unused ones are named, and a column that may be a time, a size or a symbol is never ignored silently."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance_producer.columns import COLUMNS, Column, ColumnMapping, UnreadableFileError, choose
from finance_producer.config import Settings
from finance_producer.rows import open_rows

FILE = Path("f.csv")


def _choose(names: str, **mapped: str) -> tuple[dict[str, int], tuple[str, ...]]:
    places, unused = choose(FILE, [Column(name) for name in names.split(",")], ColumnMapping(mapped))
    return places, unused


def _refusal(names: str, ignored: str = "", **mapped: str) -> str:
    with pytest.raises(UnreadableFileError) as error:
        choose(FILE, [Column(name) for name in names.split(",")], ColumnMapping(mapped, frozenset(ignored.split(","))))
    return str(error.value)


def test_our_columns_are_found_in_any_order_and_all_others_are_unused() -> None:
    assert _choose("venue,price,ts_event,symbol,side") == ({"symbol": 3, "price": 1, "ts_event": 2}, ("venue", "side"))
    every = ",".join(COLUMNS)
    assert _choose(f"{every},timestamp,volume,ticker")[1] == ("timestamp", "volume", "ticker")  # ours all exist


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        *(
            (name, "ts_event")
            for name in ("timestamp", "Timestamp", "time", "Date", "datetime", "trade_time", "Trade Date", "ts")
        ),
        *(
            (name, "ts_event")
            for name in ("ts_recv", "time_ms", "eventTime", "epoch", "timestamp_utc", "t", "date_time", "Local time")
        ),
        *(
            (name, "size")
            for name in ("volume", "Vol", "qty", "quantity", "shares", "trade_size", "Size", "baseVolume", "lots")
        ),
    ],
)
def test_a_size_or_time_with_another_name_is_refused_with_both_remedies(name: str, ours: str) -> None:
    message = _refusal(f"symbol,price,{name}")
    assert message == (
        f"f.csv has no column {ours}, but one that may be it, {name!r}. Use REPLAY_MAP={ours}={name}."
        f" Or leave it out with REPLAY_IGNORE_COLUMNS={name}. It has: 'symbol', 'price', {name!r}."
    )
    assert _choose(f"symbol,price,{name}", **{ours: name})[0][ours] == 2
    columns = choose(FILE, [Column(column) for column in ("symbol", "price", name)], ColumnMapping({}, frozenset([name])))
    assert columns.unused == (name,)


@pytest.mark.parametrize("name", ["venue", "side", "exchange", "condition", "trade_id", "lifecycle", "bid", "note"])
def test_an_unrelated_column_is_unused(name: str) -> None:
    assert _choose(f"symbol,price,{name}")[1] == (name,)


@pytest.mark.parametrize(
    "example", ["2024-01-05", "2024-01-05T12:00:00Z", "2024-01-05 12:00", "1/5/2024", "05.01.2024 10:00", "2024/01/05"]
)
def test_a_column_of_dates_may_be_the_time_whatever_its_name(example: str) -> None:
    with pytest.raises(UnreadableFileError, match="no column ts_event, but one that may be it, 'zeit'"):
        choose(FILE, [Column("symbol", "A"), Column("price", "1"), Column("zeit", example)], ColumnMapping())


def test_a_symbol_or_price_with_another_name_is_refused_with_its_mapping() -> None:
    assert "no column symbol or price; it has: 'Ticker', 'Close', 'x'. Use REPLAY_MAP=symbol=Ticker,price=Close." in _refusal(
        "Ticker,Close,x"
    )
    assert "Use REPLAY_MAP=price=Price." in _refusal("symbol,Price")
    assert _refusal("a,b").endswith("it has: 'a', 'b'.")


def test_a_mapping_that_does_not_fit_the_file_is_refused() -> None:
    assert "no such column: REPLAY_MAP=size=volume; it has: 'symbol', 'price'" in _refusal("symbol,price", size="volume")
    assert "has the column x twice" in _refusal("symbol,x,x", price="x")
    assert _choose("ticker,symbol,price", symbol="ticker") == ({"symbol": 0, "price": 2}, ("symbol",))  # the mapping wins


def test_control_characters_are_escaped_and_long_lists_are_cut() -> None:
    assert "\x1b" not in _refusal("symbol,price,\x1b[31mtime")
    assert len(_refusal(",".join(f"c{number}" for number in range(5000)))) < 1000


def test_columns_are_found_in_parquet_and_arrow_and_times_by_type(tmp_path: Path) -> None:
    table = pa.table({"venue": ["X"], "symbol": ["A"], "zeit": pa.array([0], pa.timestamp("us")), "price": ["1"]})
    pq.write_table(table, tmp_path / "f.parquet")
    with pa.ipc.new_file(str(tmp_path / "f.arrow"), table.schema) as file:
        file.write_table(table)
    for name in ("f.parquet", "f.arrow"):
        with pytest.raises(UnreadableFileError, match=r"may be it, 'zeit'\. Use REPLAY_MAP=ts_event=zeit"):
            open_rows(tmp_path / name)
        columns, rows = open_rows(tmp_path / name, ColumnMapping({"ts_event": "zeit"}))
        assert columns.unused == ("venue",)
        assert [(row.symbol, row.price, row.ts_event) for row in rows] == [("A", "1", "0")]


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


def test_mapping_and_ignored_columns_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLAY_MAP", "symbol=Ticker, ts_event=trade=time")
    monkeypatch.setenv("REPLAY_IGNORE_COLUMNS", "volume, venue time,")
    settings = Settings()
    assert settings.replay_map == {"symbol": "Ticker", "ts_event": "trade=time"}
    assert settings.replay_ignore_columns == ("volume", "venue time")
