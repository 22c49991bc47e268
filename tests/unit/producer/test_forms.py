"""The same ticks in every form of file that is read; times at which clocks are changed."""

from __future__ import annotations

import bz2
import gzip
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pytest

from finance_contract import decode
from finance_producer.reading.encode import encoded
from finance_producer.reading.options import AmbiguousError, Options, decided
from finance_producer.reading.reader import read
from tests.support.vendors import MORNING, tick

if TYPE_CHECKING:
    from pathlib import Path

    from finance_producer.reading.reader import Reading
    from tests.support.imports import Stored

TICKS = [tick("VOD.L", "68.53", 2500, MORNING), tick("BRK.B", "1234.5", None, MORNING + 1), tick("BMW", "0.01", 7, MORNING + 2)]
PLACES = ["London", "New York", "Z\u00fcrich"]
NAMES = ["symbol", "price", "size", "timestamp", "place"]


def _text(delimiter: str = ",", mark: str = ".", *, places: bool = True) -> str:
    rows = [
        [symbol, str(price).replace(".", mark), "" if size is None else str(size), str(time), place]
        for (symbol, price, size, time), place in zip(TICKS, PLACES, strict=True)
    ]
    return "".join(f"{delimiter.join(row if places else row[:-1])}\n" for row in [NAMES, *rows])


def _arrow(*, stream: bool) -> bytes:
    columns = [[getattr(tick, name) for tick in TICKS] for name in ("symbol", "price", "size", "ts_event")]
    table = pa.table(dict(zip(NAMES, [*columns, PLACES], strict=True)))
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


# The bytes, the options that they need, and what is detected: format, compression, encoding, delimiter.
FORMS = {
    "gzip": (gzip.compress(_text().encode()), {}, ("CSV", "gzip", "utf-8", "comma")),
    "zstd": (_zstd(_text().encode()), {}, ("CSV", "zstd", "utf-8", "comma")),
    "bzip2": (bz2.compress(_text().encode()), {}, ("CSV", "bzip2", "utf-8", "comma")),
    "arrow": (_arrow(stream=False), {}, ("Arrow", "none", "", "")),
    "arrow-stream": (_arrow(stream=True), {}, ("Arrow stream", "none", "", "")),
    "arrow-stream-zstd": (_zstd(_arrow(stream=True)), {}, ("Arrow stream", "zstd", "", "")),
    "tabs": (_text("\t").encode(), {}, ("CSV", "none", "utf-8", "tab")),
    "colons": (_text(":").encode(), {}, ("CSV", "none", "utf-8", "colon")),
    "spaces": (_text(" ", places=False).encode(), {}, ("CSV", "none", "utf-8", "space")),
    "tildes": (_text("~").encode(), {"delimiter": "~"}, ("CSV", "none", "utf-8", "~")),
    "utf-8-mark": (_text().encode("utf-8-sig"), {}, ("CSV", "none", "utf-8", "comma")),
    "utf-16": (_text().encode("utf-16"), {}, ("CSV", "none", "utf-16-le", "comma")),
    "utf-16-le": (_text().encode("utf-16-le"), {}, ("CSV", "none", "utf-16-le", "comma")),
    "utf-16-be": (_text().encode("utf-16-be"), {}, ("CSV", "none", "utf-16-be", "comma")),
    "latin-1": (_text().encode("latin-1"), {"encoding": "latin-1"}, ("CSV", "none", "iso8859-1", "comma")),
    "comma": (_text(";", ",").encode(), {}, ("CSV", "none", "utf-8", "semicolon")),
}


def _read(file: Path, options: Options) -> tuple[list[Stored], list[str]]:
    return _ticks_of(read(file, options))


def _ticks_of(reading: Reading) -> tuple[list[Stored], list[str]]:
    ticks: list[Stored] = []
    left_out: list[str] = []
    for block in reading.converted:
        found = [decode(value) for value in encoded(block.ticks, "test", len(ticks)).values]
        ticks += [tick(each.symbol, str(each.price), each.size, each.ts_event) for each in found]
        left_out += [f"{line} {reason}" for line, reason in block.left_out]
    return ticks, left_out


@pytest.mark.parametrize("form", FORMS)
def test_the_same_ticks_are_read_from_every_form(form: str, tmp_path: Path) -> None:
    content, chosen, detected = FORMS[form]
    file, options = tmp_path / "file", msgspec.structs.replace(Options(), **chosen)
    file.write_bytes(content)
    reading = read(file, options)
    assert (reading.kind, reading.compression, reading.encoding, reading.delimiter) == detected
    assert _ticks_of(reading) == (TICKS, [])


def test_latin_1_names_a_column(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_bytes("symbol,price,St\u00fcck\nA,1,7\n".encode("latin-1"))
    assert _read(file, Options(encoding="latin-1", mapped={"size": "St\u00fcck"})) == ([tick("A", "1", 7, None)], [])


def test_a_delimiter_that_may_be_two_is_a_question(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text("a,b;c\nA,1;2\n")
    with pytest.raises(AmbiguousError, match="--delimiter comma or --delimiter semicolon says which") as asked:
        read(file, Options())
    assert list(asked.value.choices) == ["delimiter=,", "delimiter=;"]
    options = decided(Options(mapped={"price": "c"}, symbol="A"), "delimiter=;")
    assert _read(file, options) == ([tick("A", "2", None, None)], [])


def test_hours_that_clocks_skip_or_show_twice_are_left_out_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    times = {
        "2024-03-10 01:59:59.999999999": 1_710_053_999_999_999_999,  # 06:59:59 in UTC
        "2024-03-10 02:30:00": "2024-03-10 02:30:00 is skipped by clocks in America/New_York",
        "2024-03-10 03:00:00": 1_710_054_000_000_000_000,  # 07:00 in UTC
        "2024-11-03 00:59:59": 1_730_609_999_000_000_000,  # 04:59:59 in UTC
        "2024-11-03 01:30:00": "2024-11-03 01:30:00 is shown twice by clocks in America/New_York",
        "2024-11-03 02:00:00": 1_730_617_200_000_000_000,  # 07:00 in UTC
        "2024-11-03 01:30:00-05:00": 1_730_615_400_000_000_000,  # 06:30 in UTC: it names its offset
    }
    file.write_text("symbol,price,time\n" + "".join(f"A,1,{time}\n" for time in times))
    ticks, left_out = _read(file, Options(time_zone="America/New_York"))
    assert [each.ts_event for each in ticks] == [moment for moment in times.values() if isinstance(moment, int)]
    assert left_out == [
        f"{line} ts_event_type: {reason}" for line, reason in enumerate(times.values(), 2) if isinstance(reason, str)
    ]
