"""Files in the shapes of well-known vendors, with made-up prices, and the ticks that each must give."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.imports import Stored

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 10**9
MORNING = 1_704_465_000 * SECOND  # 2024-01-05 09:30 in New York, 14:30 in UTC
MIDNIGHT = 1_704_412_800 * SECOND  # 2024-01-05 in UTC


@dataclass(frozen=True)
class Vendor:
    """A file and how it is imported.

    Attributes:
        name, content: the file
        options: what the user says besides `--yes`
        ticks: what the table must have, to the digit and the nanosecond
        refusal: a part of the message without these options; empty if none is needed

    """

    name: str
    content: bytes
    ticks: list[Stored]
    options: tuple[str, ...] = ()
    refusal: str = ""
    left_out: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Write the file."""
        file = folder / self.name
        file.write_bytes(self.content)
        return file


def tick(symbol: str, price: str, size: int | None, time_ns: int | None) -> Stored:
    """Return a tick as the table has it."""
    return Stored(symbol, Decimal(price), size, time_ns)


def _text(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


def _parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def _bars(symbol: str, day: int, prices: str, size: int) -> list[Stored]:
    opened, high, low, close = prices.split()
    rows = [(opened, None), (high, None), (low, None), (close, size)]
    return [tick(symbol, price, volume, day + place) for place, (price, volume) in enumerate(rows)]


VENDORS = [
    Vendor(
        "databento-trades.csv",
        _text(
            "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,symbol",
            f"{MORNING + 5},{MORNING + 1},0,2,38,T,B,0,185590000000,100,130,22,1,AAPL",
            f"{MORNING + 9},{MORNING + 7},0,2,38,T,A,0,185595000000,7,130,22,2,AAPL",
        ),
        [tick("AAPL", "185.59", 100, MORNING + 1), tick("AAPL", "185.595", 7, MORNING + 7)],
        ("--price-scale", "1e-9"),
        "--price-scale 1e-9",
    ),
    Vendor(
        "polygon-trades.csv.gz",
        gzip.compress(
            _text(
                "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape",
                f'A,"12,37",0,10,1,{MORNING + 2},139.85,101,{MORNING + 3},40,1',
                f"A,,0,10,2,{MORNING + 4},139.8501,102,{MORNING + 6},1,1",
            )
        ),
        [tick("A", "139.85", 40, MORNING + 3), tick("A", "139.8501", 1, MORNING + 6)],
        ("--map", "ts_event=sip_timestamp"),
        "no column ts_event, but several that may be it: 'participant_timestamp', 'sip_timestamp'",
    ),
    Vendor(
        "alpaca-trades.csv",
        _text(
            "symbol,timestamp,exchange,price,size,conditions,id,tape",
            'SPY,2024-01-05T14:30:00.000000001Z,P,467.42,100,"[""@"", ""T""]",1,B',
            "SPY,2024-01-05T14:30:00.5Z,P,467.425,50,[],2,B",
        ),
        [tick("SPY", "467.42", 100, MORNING + 1), tick("SPY", "467.425", 50, MORNING + SECOND // 2)],
    ),
    Vendor(
        "iex-tops.csv",
        _text(
            "packet_capture_time,send_time,raw_timestamp,tick_type,symbol,size,price,trade_id",
            f"2024-01-05 14:30:00.1,2024-01-05 14:30:00,{MORNING + 12},T,ZVZZT,100,10.0500,7",
        ),
        [tick("ZVZZT", "10.05", 100, MORNING + 12)],
        ("--map", "ts_event=raw_timestamp"),
        "several that may be it: 'packet_capture_time', 'send_time', 'raw_timestamp'",
    ),
    Vendor(
        "BTCUSDT-trades-2024-01-05.csv",
        _text(
            "3361468123,43967.98000000,0.00234000,102.88507320,1704465000123,True,True",
            "3361468124,43967.99000000,1.50000000,65951.98500000,1704465000124,False,True",
        ),
        [
            tick("BTCUSDT", "43967.98", 234_000, MORNING + 123_000_000),
            tick("BTCUSDT", "43967.99", 150_000_000, MORNING + 124_000_000),
        ],
        ("--map", "price=2,size=3,ts_event=5", "--symbol", "BTCUSDT", "--size-scale", "1e8"),
        "says which columns are which, by number",
    ),
    Vendor(
        "kaggle-stocks.csv",
        _text("Date,Open,High,Low,Close,Volume,Name", "2024-01-05,181.99,182.76,180.17,181.18,62303300,AAPL"),
        _bars("AAPL", MIDNIGHT, "181.99 182.76 180.17 181.18", 62_303_300),
        ("--ohlc", "Open,High,Low,Close", "--map", "symbol=Name"),
        "has bars, not ticks",
    ),
    Vendor(
        "SPY-yahoo.csv",
        _text(
            "Date,Open,High,Low,Close,Adj Close,Volume", "2024-01-05,467.489990,470.440002,466.429993,467.920013,461.1,86060800"
        ),
        _bars("SPY", MIDNIGHT, "467.48999 470.440002 466.429993 467.920013", 86_060_800),
        ("--ohlc", "Open,High,Low,Close", "--symbol", "SPY"),
        "--ohlc Open,High,Low,Close stores each row as four ticks",
    ),
    Vendor(
        "taq.txt",
        _text(
            "DATE|TIME_M|EX|SYM_ROOT|SYM_SUFFIX|TR_SCOND|SIZE|PRICE",
            "20240105|9:30:00.000000017|N|IBM||@|100|161.25",
            "20240105|9:30:01.5|N|IBM||@|3|161.3",
        ),
        [tick("IBM", "161.25", 100, MORNING + 17), tick("IBM", "161.3", 3, MORNING + SECOND * 3 // 2)],
        ("--map", "symbol=SYM_ROOT,ts_event=DATE+TIME_M", "--time-zone", "America/New_York"),
        "no column symbol, but several that may be it: 'SYM_ROOT', 'SYM_SUFFIX'",
    ),
    Vendor(
        "ES-firstrate.txt",
        _text("2024-01-05 09:30:00,4735.25,4736.5,4734,4735.75,12000"),
        _bars("ES", MORNING, "4735.25 4736.5 4734 4735.75", 12_000),
        (
            *("--map", "ts_event=1,size=6", "--ohlc", "2,3,4,5", "--symbol", "ES"),
            *("--time-zone", "America/New_York"),
        ),
        "has no line that names its columns",
    ),
    Vendor(
        "EURUSD-dukascopy.csv",
        _text("Gmt time;Open;High;Low;Close;Volume\r", "05.01.2024 14:30:00.000;1,09412;1,09420;1,09401;1,09415;1234,5\r")
        .decode()
        .encode("utf-16"),
        _bars("EURUSD", MORNING, "1.09412 1.0942 1.09401 1.09415", 12_345),
        ("--ohlc", "Open,High,Low,Close", "--symbol", "EURUSD", "--dates", "dmy", "--size-scale", "10"),
        "has bars, not ticks",
    ),
    Vendor(
        "refinitiv.csv",
        _text(
            "#RIC,Domain,Date-Time,GMT Offset,Type,Price,Volume,Qualifiers",
            "VOD.L,Market Price,2024-01-05T14:30:00.123456789Z,+0,Trade,68.53,2500,A[MMT]",
            "VOD.L,Market Price,2024-01-05T14:30:01.000000000Z,+0,Quote,,,",
        ),
        [tick("VOD.L", "68.53", 2500, MORNING + 123_456_789)],
        left_out=["price_missing"],
    ),
    Vendor(
        "pandas.parquet",
        _parquet(
            symbol=pa.array(["AAPL", "MSFT"]),
            price=pa.array([181.18, 367.75]),
            size=pa.array([100.0, None]),
            time=pa.array([MORNING, MORNING + 1], pa.timestamp("ns")),
        ),
        [tick("AAPL", "181.18", 100, MORNING), tick("MSFT", "367.75", None, MORNING + 1)],
        ("--decimals", "2", "--time-zone", "UTC"),
        "--decimals 2 says how many decimals mean something",
    ),
]


@dataclass(frozen=True)
class Bad:
    """A file that cannot be imported, and a part of the message, which says what mends it."""

    name: str
    content: bytes
    message: str


BAD_FILES = [
    Bad("empty.csv", b"", "is empty: download it or write it again"),
    Bad("prices.zip", b"PK\x03\x04rest", "is a ZIP archive or a spreadsheet: `unzip -p "),
    Bad("cut.csv.gz", gzip.compress(_text("symbol,price", *("A,1.25" for _ in range(9999))))[:-9], "cannot be read to its end"),
    Bad("us.csv", _text("symbol,price,date", "A,1,01/05/2024"), "--dates dmy or --dates mdy says which comes first"),
    Bad("unit.csv", _text("symbol,price,time", "A,1,34200"), "--time-unit s, ms, us or ns says which"),
    Bad("zone.csv", _text("symbol,price,time", "A,1,2024-01-05 09:30:00"), "--time-zone America/New_York says which"),
    Bad("quotes.csv", _text("symbol,bid,ask", "A,1,2"), "Use --map price=bid"),
    Bad("frame.csv", _text("symbol,price", "A,189.123456789012"), "--decimals 2 says how many decimals mean something"),
    Bad("comma.csv", _text("symbol;price", "A;1,234"), "--decimal-mark comma or --decimal-mark point says which"),
    Bad("nameless.csv", _text("price,size", "1.5,2"), "Or --symbol NAMELESS for every row"),
    Bad(
        "wide.csv",
        _text("symbol,price", "A,1,2"),
        "line 2: 3 cells for 2 columns. --delimiter says what separates cells; a cell that has this character in it must be in",
    ),
    Bad("torn.parquet", b"PAR1 and nothing else", ". Copy it or write it again."),
]
