"""Files in the shapes of well-known vendors are read exactly; what only the user knows is refused with its option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from finance_contract import Tick, decode
from finance_lake.cli.app import app
from finance_local.importing.command import import_files
from finance_producer.reading.encode import encoded
from finance_producer.reading.reader import read
from finance_producer.reading.settings import options_of
from tests.support.imports import Stored
from tests.support.vendors import BAD_FILES, VENDORS, Bad, Vendor

if TYPE_CHECKING:
    from pathlib import Path

NONE = dict.fromkeys(
    ("mapped", "ignored", "symbol", "ohlc", "delimiter", "encoding", "decimal_mark", "date_order", "time_unit", "time_zone"), ""
) | {"decimals": None, "price_scale": "", "size_scale": ""}
FIELDS = {"--map": "mapped", "--dates": "date_order"}


@pytest.fixture(scope="module", autouse=True)
def command() -> None:
    if "import" not in {registered.name for registered in app.registered_commands}:
        app.command("import")(import_files)


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["import", *arguments])
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


def _chosen(options: tuple[str, ...]) -> dict[str, object]:
    pairs = dict(zip(options[::2], options[1::2], strict=True))
    named = {FIELDS.get(name, name.removeprefix("--").replace("-", "_")): value for name, value in pairs.items()}
    return NONE | {name: int(value) if name == "decimals" else value for name, value in named.items()}


@pytest.mark.parametrize("vendor", VENDORS, ids=lambda vendor: vendor.name)
def test_a_vendors_file_is_read_to_the_digit_and_the_nanosecond(vendor: Vendor, tmp_path: Path) -> None:
    ticks: list[Tick] = []
    left_out: list[str] = []
    for block in read(vendor.write(tmp_path), options_of(_chosen(vendor.options))).converted:
        ticks += [decode(value) for value in encoded(block.ticks, "test", len(ticks)).values]
        left_out += [reason.partition(":")[0] for _, reason in block.left_out]
    assert [Stored(tick.symbol, tick.price, tick.size, tick.ts_event) for tick in ticks] == vendor.ticks
    assert left_out == vendor.left_out


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor.refusal], ids=lambda vendor: vendor.name)
def test_without_its_options_it_is_refused_with_what_mends_it(vendor: Vendor, tmp_path: Path) -> None:
    code, _, message = _run(str(vendor.write(tmp_path)), "--yes", "--data", str(tmp_path / "none"))
    assert code == 2
    assert vendor.refusal in message


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_a_bad_file_is_refused_with_what_mends_it(bad: Bad, tmp_path: Path) -> None:
    file = tmp_path / bad.name
    file.write_bytes(bad.content)
    code, _, message = _run(str(file), "--yes", "--data", str(tmp_path / "none"))
    assert code == 2
    assert bad.message in message
    assert "Traceback" not in message


def test_a_dry_run_shows_what_would_be_stored(tmp_path: Path) -> None:
    vendor = next(vendor for vendor in VENDORS if vendor.name == "refinitiv.csv")
    code, shown, _ = _run(str(vendor.write(tmp_path)), "--dry-run")
    assert code == 0
    for part in (
        "refinitiv.csv: CSV, utf-8, cells separated by comma",
        "symbol=#RIC, price=Price, ts_event=Date-Time, size=Volume",
        "Domain, GMT Offset, Type, Qualifiers",
        "1 rows give 1 ticks",
        "2024-01-05 14:30:00.123456789 UTC",
        "left out: price_missing 1 rows, first line 3: empty",
    ):
        assert part in shown
    assert not (tmp_path / "refinitiv.csv.left-out.csv").exists()


def test_a_dry_run_shows_units_zone_times_symbols_and_how_many_are_not_named(tmp_path: Path) -> None:
    unused = [f"note{number}" for number in range(1, 15)]
    rows = [f"S{number};1,5;3;05.01.2024 09:30:{number:02}" + ";" * len(unused) for number in range(14)]
    file = tmp_path / "trades.csv"
    file.write_text(";".join(["symbol", "price", "size", "time", *unused]) + "\n" + "\n".join([*rows, rows[13]]) + "\n")
    options = ("--dates", "dmy", "--time-zone", "America/New_York", "--size-scale", "10", "--decimals", "2")
    code, shown, _ = _run(str(file), "--dry-run", *options)
    assert code == 0
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines() if line and not line.startswith((" ", "left out", "S")))
    assert lines["prices"] == "decimal comma, rounded to 2 decimals"
    assert lines["sizes"] == "decimal point, times 10"
    assert lines["times"] == "numbers in ns, dates as dmy, America/New_York where none is named"
    assert (lines["from"], lines["to"]) == ("2024-01-05 14:30:00 UTC", "2024-01-05 14:30:13 UTC")
    assert lines["symbols"] == "S13, " + ", ".join(f"S{number}" for number in range(11)) + " and 2 more"
    assert lines["unused"] == ", ".join(unused[:12]) + " and 2 more"
    assert lines["rows"] == "15 rows give 15 ticks"


def test_a_dry_run_names_the_compression_and_the_symbol_of_every_row(tmp_path: Path) -> None:
    vendor = next(vendor for vendor in VENDORS if vendor.name.endswith(".gz"))
    _, shown, _ = _run(str(vendor.write(tmp_path)), "--dry-run", *vendor.options)
    assert "cells separated by comma, compressed with gzip" in shown
    vendor = next(vendor for vendor in VENDORS if "BTCUSDT" in vendor.name)
    _, shown, _ = _run(str(vendor.write(tmp_path)), "--dry-run", *vendor.options)
    assert "symbol is BTCUSDT in every row" in shown
    assert "numbers in ms" in shown


TRADES = b"ticker,time,px,qty,open,high,low,close\nA,1704465000,1.2345,3,1,2,1,2\n"
# Values that someone may well write, and a part of the line that says what to write.
NASTY = [
    ("--time-unit", "sec", "--time-unit 'sec' is not auto, s, ms, us, ns"),
    ("--time-unit", "MS", "--time-unit 'MS' is not auto, s, ms, us, ns"),
    ("--time-unit", "ms", "--time-unit auto finds the unit of times"),
    ("--time-unit", "ns", "--time-unit auto finds the unit of times"),
    ("--dates", "ydm", "--dates 'ydm' is not ymd, dmy, mdy"),
    ("--decimals", "-1", "greater than or equal to 0"),
    ("--decimals", "9", "less than or equal to 8"),
    ("--decimals", "1.5", "a valid integer"),
    ("--decimals", "nan", "a valid integer"),
    ("--decimal-mark", ".,", "--decimal-mark: '.,' is not point or comma"),
    ("--decimal-mark", "comma", "which is no number with --decimal-mark comma: use --decimal-mark point"),
    ("--map", "price", "--map: 'price' is not ours=theirs"),
    ("--map", "=px", "'' is not one of symbol, price, size, ts_event"),
    ("--map", "cost=px", "'cost' is not one of symbol, price, size, ts_event"),
    ("--map", "price=px,price=qty", "'price' is listed twice"),
    ("--map", "price=px,size=px", "the column 'px' cannot be two of ours"),
    ("--map", "price=px,size=nope", "no such column: nope of --map size=nope; it has: 'ticker', 'time'"),
    ("--map", "price=px symbol=ticker", "no such column: px symbol=ticker"),
    ("--map", "price=open+close", "--map price=open+close joins columns"),
    ("--map", "price=px,size=qty+qty", "--map size=qty+qty joins columns"),
    ("--map", "price=ticker,symbol=px", "--map price=COLUMN which column has them"),
    ("--map", "price=px,ts_event=ticker,symbol=qty", "--map ts_event=COLUMN which column has times"),
    ("--ohlc", "open,high,low", "--ohlc: 'open,high,low' is not four columns: open,high,low,close"),
    ("--ohlc", "open,open,low,close", "--ohlc: 'open' is listed twice"),
    ("--ohlc", "Open,High,Low,Close", "no such column: Open of --ohlc Open,High,Low,Close; it has: 'ticker'"),
    ("--ohlc", ",,,", "--ohlc open,high,low,close stores each row as four ticks"),
    ("--price-scale", "0", "--price-scale 0 is not a number above 0, such as 1e-9"),
    ("--price-scale", "nan", "--price-scale nan is not a number above 0, such as 1e-9"),
    ("--price-scale", "1e-9", "--decimals says how many decimals mean something"),
    ("--size-scale", "1/3", "--size-scale 1/3 is not a number above 0"),
    ("--time-zone", "Mars/Phobos", "use one such as America/New_York or UTC"),
    ("--time-zone", "../../etc/passwd", "use one such as America/New_York or UTC"),
    ("--encoding", "utf-99", "use one such as utf-8 or latin-1"),
    ("--encoding", "base64", "use one such as utf-8 or latin-1"),
    ("--encoding", "rot13", "use one such as utf-8 or latin-1"),
    ("--delimiter", "ab", "--delimiter: 'ab' is not one character"),
]


@pytest.mark.parametrize(("option", "value", "message"), NASTY, ids=ascii)
def test_an_odd_value_of_an_option_is_refused_with_what_mends_it(option: str, value: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "trades.csv"
    file.write_bytes(TRADES)
    prices = () if option == "--ohlc" or "price" in value or option == "--map" else ("--map", "price=px")
    code, _, shown = _run(str(file), "--yes", "--data", str(tmp_path / "none"), option, value, *prices)
    assert code == 2
    assert message in shown.replace("\u2502 ", "")


def test_bars_and_a_price_exclude_each_other(tmp_path: Path) -> None:
    file = tmp_path / "trades.csv"
    file.write_bytes(TRADES)
    code, _, shown = _run(str(file), "--yes", "--ohlc", "open,high,low,close", "--map", "price=px")
    assert (code, "--ohlc and --map price=px exclude each other" in shown) == (2, True)


def test_several_files_have_a_folder_of_lists(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(TRADES)
    code, _, shown = _run(str(tmp_path), "--yes", "--left-out", "list.csv")
    shown = shown.replace("\u2502 ", "")
    assert (code, "--left-out list.csv is not a folder: there are 2 files, each with its own list" in shown) == (2, True), shown


def test_several_files_are_shown_in_the_order_of_their_first_times(tmp_path: Path) -> None:
    for name, time in (("a.csv", 1704465002), ("b.csv", 1704465000), ("c.csv", 1704465001)):
        (tmp_path / name).write_text(f"symbol,price,time\nA,1,{time}\n")
    (tmp_path / "0.csv").write_text("symbol,price\nA,1\n")
    code, shown, _ = _run(str(tmp_path), "--dry-run")
    assert code == 0
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("file ")] == [
        "b.csv:",
        "c.csv:",
        "a.csv:",
        "0.csv:",
    ]


BARS = b"ticker,time,open,high,low,close,vol\nA,1704465000,2,4,1,3,9\nA,1704465060,2,5,1,3,9\nA,1704465120,2,2,2,2,9\n"
PLAIN_BARS = BARS.replace(b"open,high,low,close", b"o,h,l,c")
DAYS = b"symbol,price,date\nA,1.5,5/13/2024\nA,1.5,5/1/2024\n"
# A file, options that name what it does not have or that contradict it, and a part of the line that says what to write.
CONTRADICTIONS = [
    (
        TRADES,
        "--map price=px --ignore venue_time",
        "no such column: venue_time of --ignore venue_time; it has: 'ticker', 'time'",
    ),
    (TRADES, "--map price=px,size=qty --ignore qty", "--ignore qty leaves out a column that another option uses"),
    (TRADES, "--ohlc open,high,low,close --ignore low", "--ignore low leaves out a column that another option uses"),
    (TRADES, "--map price=px,symbol=ticker --symbol B", "--symbol and --map symbol=ticker exclude each other: leave one"),
    (
        TRADES,
        "--map price=px --symbol B",
        "a column of symbols, ticker, and --symbol B is for every row: leave one of them out",
    ),
    (
        BARS,
        "--ohlc open,low,high,close",
        "--ohlc open,low,high,close is not in the order open,high,low,close: use --ohlc open,high,",
    ),
    (BARS, "--ohlc close,high,low,open", "is not in the order open,high,low,close: use --ohlc open,high,low,close"),
    (PLAIN_BARS, "--ohlc o,l,h,c", "with --ohlc o,l,h,c: the order is open,high,low,close, such as --ohlc o,h,l,c"),
    (PLAIN_BARS, "--ohlc h,o,l,c", "the order is open,high,low,close, such as --ohlc o,h,l,c"),
    (PLAIN_BARS, "--ohlc vol,h,l,c", "the order is open,high,low,close, such as --ohlc h,vol,l,c"),
    (b"symbol,price\nA,1.5\n", "--size-scale 1e8", "has no column size: leave --size-scale 1e8 out"),
    (
        b"symbol,price\nA,1.25\nA,1.234\n",
        "--decimal-mark comma",
        "has price 1.25, which is no number with --decimal-mark comma",
    ),
    (
        b"symbol;price\nA;1,25\nA;1,234\n",
        "--decimal-mark point",
        "has price 1,25, which is no number with --decimal-mark point",
    ),
    (DAYS, "--dates dmy", "has the date 5/13/2024, which is none with --dates dmy: use --dates mdy"),
    (DAYS.replace(b"5/13", b"13/5"), "--dates mdy", "has the date 13/5/2024, which is none with --dates mdy: use --dates dmy"),
    (DAYS, "--dates mdy --time-unit ms", "has the time 5/13/2024, which is no number: leave --time-unit ms out"),
    (DAYS, "--dates mdy --delimiter pipe", "no such delimiter in its first line: leave --delimiter pipe out"),
    (DAYS, "--encoding utf-16", "is no text in UTF-16: leave --encoding utf-16 out"),
    (DAYS, "--encoding utf-16-be", "is no text in UTF-16: leave --encoding utf-16-be out"),
    (DAYS.decode().encode("utf-16"), "--encoding utf-8", "is text in utf-16-le: leave --encoding utf-8 out"),
    (DAYS.decode().encode("utf-16-be"), "--encoding latin-1", "is text in utf-16-be: leave --encoding latin-1 out"),
    (DAYS.decode().encode("utf-16"), "--encoding utf-16-be", "is text in utf-16-le: leave --encoding utf-16-be out"),
    (
        DAYS.decode().replace("A", "\u4e2d" * 50).encode("utf-16-le"),
        "--encoding utf-16",
        "use --encoding utf-16-le or --encoding utf-16-be instead of --encoding utf-16",
    ),
    (TRADES, "--map price=px --ignore ticker --symbol e\u0301", "--symbol one for every row"),
]


@pytest.mark.parametrize(
    ("content", "options", "message"), CONTRADICTIONS, ids=[ascii(chosen) for _, chosen, _ in CONTRADICTIONS]
)
def test_an_option_that_contradicts_the_file_is_refused_with_what_mends_it(
    content: bytes, options: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes(content)
    code, _, shown = _run(str(file), "--dry-run", *options.split())
    assert (code, message in shown) == (2, True), shown


@pytest.mark.parametrize("option", ["--delimiter comma", "--encoding utf-8"])
def test_a_columnar_file_has_no_text_to_separate_or_decode(option: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"symbol": ["A"], "price": ["1.5"]}), tmp_path / "file.parquet")
    code, _, shown = _run(str(tmp_path / "file.parquet"), "--dry-run", *option.split())
    assert (code, f"is Parquet, not text: leave {option} out" in shown) == (2, True), shown


def test_a_bar_out_of_order_is_left_out_and_an_ignored_column_of_symbols_is_none(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_bytes(BARS + b"A,1704465180,2,1.5,1,3,9\nA,1704465240,2,5,2.5,3,9\n")
    code, shown, _ = _run(
        str(tmp_path / "bars.csv"), "--dry-run", *["--ohlc", "open,high,low,close", "--symbol", "B", "--ignore", "ticker"]
    )
    assert code == 0
    assert "3 rows give 12 ticks" in shown
    assert "price_range 2 rows, first line 5: high 1.5 is not the largest of open 2, low 1, close 3" in " ".join(shown.split())
