"""Files that unpack to more than the machine's memory: the row or the file is refused, and memory stays bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finance_producer.reading.lines import MAX_RECORD_CHARS
from finance_producer.reading.options import Options, UnreadableFileError
from finance_producer.reading.reader import read
from finance_producer.reading.remote import MAX_MEGABYTES, OpenFile

if TYPE_CHECKING:
    from pathlib import Path

VALUE = "A" * 1_900_000
SPARE_MB = 160  # interpreter and pyarrow
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of the reader")
# Reads a file as the producer does and prints the results and the memory used.
MEASURE = """
import json, resource, sys
from pathlib import Path
from finance_producer.reading.options import Options, UnreadableFileError
from finance_producer.reading.remote import OpenFile
rows, faults, message = 0, [], None
try:
    for block in OpenFile(Path(sys.argv[1]), Options()).blocks():
        rows += block.rows + len(block.left_out)
        faults += [reason for _, reason in block.left_out]
except UnreadableFileError as error:
    message = str(error)
status = Path("/proc/self/status").read_text()  # getrusage would include the memory of the test process before exec
own = next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:"))
print(json.dumps([rows, len(faults), faults[:1], message, own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024]))
"""


class Measured(NamedTuple):
    """The results of reading a file, and the peak memory in MB."""

    rows: int
    faults: int
    first: list[str]
    message: str | None
    own_mb: int
    reader_mb: int


def _measure(file: Path) -> Measured:
    run = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True, text=True, timeout=120, check=True)
    return Measured(*json.loads(run.stdout))


def _parquet(file: Path, symbols: pa.Array, **options: object) -> Path:
    pq.write_table(pa.table({"symbol": symbols, "price": ["1"] * len(symbols)}), file, compression="zstd", **options)
    return file


@LINUX
def test_a_kilobyte_of_parquet_that_unpacks_to_gigabytes_stays_within_the_memory_limit(tmp_path: Path) -> None:
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([VALUE]))
    files = {
        "read as it is stored": _parquet(tmp_path / "1", repeated),
        "read as a value for each row": _parquet(tmp_path / "2", repeated, store_schema=False),
    }
    assert files["read as a value for each row"].stat().st_size < 1000
    for what, file in files.items():
        result = _measure(file)
        assert result.own_mb < SPARE_MB, what
        assert result.reader_mb < SPARE_MB + MAX_MEGABYTES, what
        if result.message is None:
            assert (result.rows, result.faults) == (1000, 1000), what
            assert result.first == ["not_an_object: a cell of more than 256 characters"], what
        else:
            assert result.rows == 0
            assert (
                f"it needs more than {MAX_MEGABYTES} MB of memory" in result.message or "ended with code" in result.message
            ), what


@LINUX
def test_arrow_stays_within_the_memory_limit(tmp_path: Path) -> None:
    table = pa.table({"symbol": [VALUE] * 300, "price": ["1"] * 300})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(str(tmp_path / "big.arrow"), table.schema, options=options) as file:
        file.write_table(table)
    result = _measure(tmp_path / "big.arrow")
    assert f"it needs more than {MAX_MEGABYTES} MB" in (result.message or "")
    assert result.reader_mb < SPARE_MB + MAX_MEGABYTES


def test_a_deeply_nested_type_is_reported(tmp_path: Path) -> None:
    deep = pa.int8()
    for _ in range(3000):
        deep = pa.struct([("a", deep)])
    pq.write_table(pa.table({"symbol": ["A"], "price": ["1"], "deep": pa.nulls(1, deep)}), tmp_path / "deep.parquet")
    with pytest.raises(UnreadableFileError, match=r"deep\.parquet cannot be read: "):
        OpenFile(tmp_path / "deep.parquet", Options())


def test_a_crashed_reader_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = _parquet(tmp_path / "f.parquet", pa.array(["A"]))
    monkeypatch.setattr("finance_producer.reading.remote.READER", "finance_producer.there_is_none")
    with pytest.raises(UnreadableFileError, match=r"f\.parquet cannot be read: its reader ended with code 1, which happens if"):
        OpenFile(file, Options())


def test_ten_thousand_columns_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({f"c{number}": [1] for number in range(10_001)}), tmp_path / "wide.parquet")
    with pytest.raises(UnreadableFileError, match="has 10,001 columns; at most 10,000 are supported"):
        OpenFile(tmp_path / "wide.parquet", Options())


@LINUX
@pytest.mark.parametrize("header", ["", "symbol,price\nAAPL,1\n"], ids=["the header", "a row"])
def test_an_endless_csv_line_is_left_out_without_more_memory(tmp_path: Path, header: str) -> None:
    file = tmp_path / "line.csv"
    with file.open("wb") as stream:
        stream.write(header.encode())
        stream.truncate(400 * 1024 * 1024)  # zeros, as a sparse file
        stream.seek(0, os.SEEK_END)
        stream.write(b"\nMSFT,2\n" if header else b"")
    result = _measure(file)
    assert result.own_mb < SPARE_MB
    if header:
        assert (result.rows, result.faults) == (3, 1)
        assert result.first == [f"not_an_object: lines 3 to 3: a row of more than {MAX_RECORD_CHARS:,} characters"]
    else:
        assert "its first line is not CSV, lines 1 to 1: a row of more than 1,048,576 characters" in (result.message or "")


def test_an_endless_quoted_row_is_bounded_and_the_next_row_is_read(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    endless = 'A,"' + 'x\n","' * (MAX_RECORD_CHARS // 5)
    file.write_text(f"symbol,price\nAAPL,1\n{endless}\nMSFT,2\n")
    blocks = list(read(file, Options()).converted)
    ticks = [tick for block in blocks for tick in block.ticks.to_pylist()]
    assert (ticks[0]["symbol"], ticks[-1]["symbol"], ticks[-1]["price"]) == ("AAPL", "MSFT", "2")
    assert any("a row of more than" in reason for block in blocks for _, reason in block.left_out)


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UnreadableFileError, match=r"pipe\.csv is not a regular file"):
        OpenFile(tmp_path / "pipe.csv", Options())
