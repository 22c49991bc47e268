"""Read a Parquet or Arrow file for `columnar`, with limited memory: `python -m finance_producer.columnar_reader MB`.

The output is bounded too: rows come in small batches, and cells of more than `MAX_CELL_CHARS` are reported as faults. On Linux
the kernel limits the memory; on other systems only the output is bounded.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finance_producer.columnar import ColumnarBlock, ColumnarRequest
from finance_producer.columns import COLUMNS, Column, ColumnMapping, UnreadableFileError, choose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Batches = Callable[[list[int]], Iterator[pa.RecordBatch]]

MEGABYTE = 1024 * 1024
MAX_COLUMNS = 10_000
MAX_CELL_CHARS = 256  # no symbol, number or time is longer
ROWS_PER_BATCH = 1000
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


def main() -> None:
    """Read the file that the request on standard input names; write one answer per line, the last one empty."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the producer handles Ctrl-C and ends this process
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=ColumnarRequest)
    file, megabytes = Path(request.file), int(sys.argv[1])
    pa.set_memory_pool(pa.system_memory_pool())  # returns freed memory to the system
    pa.set_cpu_count(1)
    _confine(megabytes)
    try:
        for answer in _read(file, request):
            _write(sys.stdout.buffer, answer)
    except UnreadableFileError as error:
        _write(sys.stdout.buffer, ColumnarBlock(error=str(error)))
    except (MemoryError, RecursionError):  # ArrowMemoryError is a MemoryError
        why = f"it needs more than {megabytes} MB of memory. Write it with smaller row groups, or as CSV"
        _write(sys.stdout.buffer, ColumnarBlock(error=f"{file} cannot be read: {why}."))
    except (OSError, pa.ArrowException, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        _write(sys.stdout.buffer, ColumnarBlock(error=f"{file} cannot be read: {first}."))


def _write(out: BinaryIO, answer: ColumnarBlock) -> None:
    out.write(msgspec.json.encode(answer) + b"\n")
    out.flush()


def _confine(megabytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        used = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))
        resource.setrlimit(resource.RLIMIT_DATA, (used + megabytes * MEGABYTE,) * 2)


def _read(file: Path, request: ColumnarRequest) -> Iterator[ColumnarBlock]:
    with file.open("rb") as stream:
        schema, batches = _parquet(stream) if request.kind == "Parquet" else _arrow(stream)
        if len(schema) > MAX_COLUMNS:
            raise UnreadableFileError(f"{file} has {len(schema):,} columns; at most {MAX_COLUMNS:,} are supported.")
        present = [Column(field.name, _example(field.type)) for field in schema]
        columns = choose(file, present, ColumnMapping(request.mapped, frozenset(request.ignored)))
        for ours, place in columns.places.items():
            _require_exact(file, ours, schema.field(place))
        yield ColumnarBlock(places=columns.places, unused=list(columns.unused))
        for batch in batches(sorted(columns.places.values())):
            yield from _texts(batch, schema, columns.places)
        yield ColumnarBlock()


def _parquet(stream: BinaryIO) -> tuple[pa.Schema, Batches]:
    # Page by page, not a whole row group at once.
    parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=MEGABYTE)
    schema = parquet.schema_arrow

    def batches(places: list[int]) -> Iterator[pa.RecordBatch]:
        names = [schema.field(place).name for place in places]
        return iter(parquet.iter_batches(ROWS_PER_BATCH, columns=names, use_threads=False))

    return schema, batches


def _arrow(stream: BinaryIO) -> tuple[pa.Schema, Batches]:
    schema = pa.ipc.open_file(stream).schema

    def batches(places: list[int]) -> Iterator[pa.RecordBatch]:
        reader = pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=places, use_threads=False))
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            for start in range(0, batch.num_rows, ROWS_PER_BATCH):
                yield batch.slice(start, ROWS_PER_BATCH)

    return schema, batches


def _example(kind: pa.DataType) -> str | None:
    return "2000-01-01" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else None


def _require_exact(file: Path, ours: str, field: pa.Field) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_floating(kind) and ours != "symbol":
        raise UnreadableFileError(
            f"{file} has {ours} as {kind}, binary floating point, which has no exact decimal value:"
            f" store it as {'a decimal' if ours == 'price' else 'an integer'} or as text."
        )
    fits = _is_text(kind) or (ours != "symbol" and pa.types.is_integer(kind))
    fits |= ours == "price" and pa.types.is_decimal(kind)
    fits |= ours == "ts_event" and (pa.types.is_timestamp(kind) or pa.types.is_date(kind))
    if not fits:
        raise UnreadableFileError(f"{file} has {ours} as {str(kind)[:100]}, which is not supported for it: store it as text.")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _texts(batch: pa.RecordBatch, schema: pa.Schema, places: dict[str, int]) -> Iterator[ColumnarBlock]:
    empty: list[str | None] = [None] * batch.num_rows
    by_name = {ours: schema.field(place).name for ours, place in places.items()}
    texts = [_text(batch.column(by_name[ours])) if ours in by_name else empty for ours in COLUMNS]
    rows = [[*cells, _fault(cells)] for cells in zip(*texts, strict=True)]
    if rows:
        yield ColumnarBlock(rows=[[None] * len(COLUMNS) + [row[-1]] if row[-1] else row for row in rows])


def _fault(cells: tuple[str | None, ...]) -> str | None:
    longest = max(len(cell) if cell else 0 for cell in cells)
    return f"a cell of more than {MAX_CELL_CHARS} characters" if longest > MAX_CELL_CHARS else None


def _text(column: pa.Array) -> list[str | None]:
    """Return cells as exact text: integers and decimals by their digits, times as nanoseconds since 1970."""
    if pa.types.is_dictionary(column.type):
        # Look values up by index instead of expanding the dictionary: one long value may be used by many rows.
        values = [None if text is None else text[: MAX_CELL_CHARS + 1] for text in _text(column.dictionary)]
        return [None if index is None else values[index] for index in column.indices.to_pylist()]
    if _is_text(column.type):
        return list(pc.utf8_slice_codeunits(column.cast(pa.large_string()), 0, MAX_CELL_CHARS + 1).to_pylist())
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type):
        factor = NANOSECONDS[column.type.unit]
        return [None if number is None else str(number * factor) for number in column.cast(pa.int64()).to_pylist()]
    return [None if value is None else str(value) for value in column.to_pylist()]


if __name__ == "__main__":
    main()
