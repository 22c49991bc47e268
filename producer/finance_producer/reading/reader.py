"""Open a file of any format, plan how to read it, and convert it block by block."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from finance_producer.reading.columnar_file import ColumnarFile
from finance_producer.reading.columns import Column, choose
from finance_producer.reading.convert import convert
from finance_producer.reading.csv_file import Block, CsvFile
from finance_producer.reading.dialect import NAMES, delimiter_of, has_header
from finance_producer.reading.options import UnreadableFileError
from finance_producer.reading.plan import Plan, Sample, make_plan
from finance_producer.reading.stream import SAMPLE_BYTES, open_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from finance_producer.reading.convert import Converted
    from finance_producer.reading.options import Options
    from finance_producer.reading.stream import Opened

SAMPLE_ROWS = 1000


class Reading(NamedTuple):
    """A file that is being read.

    Attributes:
        kind, compression, encoding, delimiter: how it is stored; the last two only for text
        names: the names of its columns
        plan: how its rows become ticks
        converted: its rows as ticks, a block at a time; may raise UnreadableFileError

    """

    kind: str
    compression: str
    encoding: str
    delimiter: str
    names: list[str]
    plan: Plan
    converted: Iterator[Converted]


def read(file: Path, options: Options) -> Reading:
    """Open a file. Raises AmbiguousError where only the user can decide, UnreadableFileError if it cannot be read."""
    with _explained(file):
        opened = open_file(file, options)
        try:
            return _read_csv(file, opened, options) if opened.kind == "CSV" else _read_columnar(file, opened, options)
        except BaseException:
            opened.stream.close()
            raise


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Raise UnreadableFileError for what pyarrow raises about the content of a file."""
    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, MemoryError):  # as Arrow's own is
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        damaged = " Copy it or write it again." if isinstance(error, OSError | pa.ArrowException) else ""
        raise UnreadableFileError(f"{file} cannot be read: {first}.{damaged}") from None


def _converted(file: Path, opened: Opened, blocks: Iterable[Block], plan: Plan) -> Iterator[Converted]:
    try:
        with _explained(file):
            for block in blocks:
                yield convert(block, plan)._replace(done=opened.done())
    finally:
        opened.stream.close()


def _read_columnar(file: Path, opened: Opened, options: Options) -> Reading:
    for name, value in (("delimiter", options.delimiter), ("encoding", options.encoding)):
        if value:
            option = options.spelled(name, NAMES.get(value, value))
            raise UnreadableFileError(f"{file} is {opened.kind}, not text: leave {option} out.")
    columnar = ColumnarFile(file, opened)
    present = columnar.columns()
    kinds = {place: pa.array([], columnar.schema.field(place).type) for place in range(len(present))}
    blocks = columnar.blocks(choose(file, present, options).every)
    first = list(islice(blocks, 1))
    values = kinds | {place: column[:SAMPLE_ROWS] for block in first for place, column in block.columns.items()}
    plan = make_plan(file, Sample(present, values), options)
    names = [column.name for column in present]
    return Reading(opened.kind, opened.compression, "", "", names, plan, _converted(file, opened, chain(first, blocks), plan))


def _read_csv(file: Path, opened: Opened, options: Options) -> Reading:
    csv = CsvFile(opened.stream, ",")
    csv.lines.fill(SAMPLE_BYTES)
    text = csv.lines.peek()[:SAMPLE_BYTES].decode("utf-8", "replace")
    text = text[: text.rfind("\n") + 1] or text
    delimiter = csv.delimiter = delimiter_of(file, text, options)
    header = csv.header()
    if isinstance(header, str):
        raise UnreadableFileError(f"{file} cannot be read: its first line is not CSV, {header}.")
    if not header:
        raise UnreadableFileError(f"{file} is empty: download it or write it again.")
    names = [name.strip() for name in header]
    skipped: list[Block] = []
    if not has_header(file, names, options):
        skipped = [Block.of_cells(1, header)]
        names = [str(number) for number in range(1, len(header) + 1)]
    every = range(len(names))
    samples = csv.sample(len(names), SAMPLE_ROWS)
    columns = [[*(block.columns[place][0].as_py() for block in skipped), *(row[place] for row in samples)] for place in every]
    present = [
        Column(name, next((cell.strip() for cell in column if cell.strip()), ""))
        for name, column in zip(names, columns, strict=True)
    ]
    sample = Sample(present, {place: pa.array(column, pa.string()) for place, column in enumerate(columns)})
    plan = make_plan(file, sample, options)
    places = plan.columns.every
    blocks = chain(skipped, csv.blocks(len(names), places))
    converted = _converted(file, opened, blocks, plan)
    return Reading("CSV", opened.compression, opened.encoding, NAMES.get(delimiter, delimiter), names, plan, converted)
