"""Read a Parquet or Arrow file as blocks of Arrow columns. Long text is cut, so that a small file cannot fill the memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from finance_producer.reading.columns import Column
from finance_producer.reading.csv_file import Block
from finance_producer.reading.options import UnreadableFileError
from finance_producer.reading.plan import is_text, value_type
from finance_producer.reading.row import MAX_CELL_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from finance_producer.reading.stream import Opened

    Batches = Callable[[Sequence[int]], Iterator[pa.RecordBatch]]

MEGABYTE = 1024 * 1024
MAX_COLUMNS = 10_000
ROWS_PER_BLOCK = 50_000
# The rows of a block are so few that even the longest text that a column can have fits into the memory.
ROWS_PER_READ = 1000


class ColumnarFile:
    """An open Parquet or Arrow file."""

    def __init__(self, file: Path, opened: Opened) -> None:
        """Read the schema. Raises UnreadableFileError for too many columns, and what pyarrow raises."""
        if opened.kind == "Arrow stream":
            self.schema, self._batches = _arrow_stream(opened)
        else:
            stream = opened.stream.raw
            stream.seek(0)
            self.schema, self._batches = _parquet(stream) if opened.kind == "Parquet" else _arrow(stream)
        if len(self.schema) > MAX_COLUMNS:
            raise UnreadableFileError(f"{file} has {len(self.schema):,} columns; at most {MAX_COLUMNS:,} are supported.")

    def columns(self) -> list[Column]:
        """Return names and, for times, an example."""
        return [Column(field.name, _example(field.type)) for field in self.schema]

    def blocks(self, places: Sequence[int]) -> Iterator[Block]:
        """Yield the rows: the columns at `places`."""
        first = 1
        for batch in self._batches(places):
            for rows in range(0, batch.num_rows, ROWS_PER_BLOCK):
                part = batch.slice(rows, ROWS_PER_BLOCK)
                columns = {place: _short(part.column(at)) for at, place in enumerate(places)}
                yield Block(np.arange(first, first + part.num_rows), columns, [])
                first += part.num_rows


def _parquet(stream: BinaryIO) -> tuple[pa.Schema, Batches]:
    # Page by page, not a whole row group at once.
    parquet = pq.ParquetFile(stream, pre_buffer=False, buffer_size=MEGABYTE)
    schema = parquet.schema_arrow

    def batches(places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        names = [schema.field(place).name for place in places]
        has_text = any(is_text(value_type(schema.field(place).type)) for place in places)
        size = ROWS_PER_READ if has_text and _unpacks_widely(parquet) else ROWS_PER_BLOCK
        for batch in parquet.iter_batches(size, columns=names, use_threads=False):
            yield batch.select(names)

    return schema, batches


def _unpacks_widely(parquet: pq.ParquetFile) -> bool:
    """Whether the file's pages unpack to far more than they take: few bytes may be repeated very often."""
    footer = parquet.metadata
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    return any(group.total_byte_size > 200 * max(group.num_rows, 1) for group in groups) or footer.num_rows < ROWS_PER_READ


def _arrow(stream: BinaryIO) -> tuple[pa.Schema, Batches]:
    schema = pa.ipc.open_file(stream).schema

    def batches(places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        reader = pa.ipc.open_file(stream, options=pa.ipc.IpcReadOptions(included_fields=list(places), use_threads=False))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)

    return schema, batches


def _arrow_stream(opened: Opened) -> tuple[pa.Schema, Batches]:
    reader = pa.ipc.open_stream(pa.PythonFile(opened.stream, "r"))

    def batches(places: Sequence[int]) -> Iterator[pa.RecordBatch]:
        for batch in reader:
            yield pa.record_batch([batch.column(place) for place in places], names=[str(place) for place in places])

    return reader.schema, batches


def _example(kind: pa.DataType) -> str | None:
    return "2000-01-01" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else None


def _short(column: pa.Array) -> pa.Array:
    """Return a column with text of at most `MAX_CELL_CHARS` + 1 characters, looked up if it is a dictionary's."""
    if pa.types.is_dictionary(column.type):
        # The values are cut before they are looked up: one long value may be used by many rows.
        return _short(column.dictionary).take(column.indices)
    if is_text(column.type):
        return pc.utf8_slice_codeunits(column.cast(pa.large_string()), 0, MAX_CELL_CHARS + 1).cast(pa.string())
    return column
