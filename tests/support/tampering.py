"""Tamper with a lake: change rows while the table's log stays valid and the job's commit metadata unchanged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from finance_storage.data_file import WrittenFile, write_data_file
from finance_storage.paths import TICKS
from finance_verify.context import VerifyContext
from finance_verify.verify import verify
from tests.support.lakes import TOPIC

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import OffsetRange
    from finance_kafka.range_reader import Record
    from finance_verify.verdict import Code, Report
    from tests.support.lakes import BuiltLake

DATE = "2026-11-24"
MOMENT_MS = 1_764_000_000_000


def flip_bit(path: Path, column: int = 0) -> None:
    """Flip a bit in the content of a column's last page. A page's header is in no checksum."""
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(column)
    content = bytearray(path.read_bytes())
    content[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(content)


def judge(lake: BuiltLake, broker: TopicDescription | None = None, *, records: Iterable[Record] | None = None) -> Report:
    """Verify without waiting; `records` are the topic's records, for `--values`."""

    def read(_: dict[int, OffsetRange], __: int) -> Iterable[list[Record]]:
        return [[record] for record in records or ()]

    context = VerifyContext(TOPIC, lambda: broker or lake.broker, None if records is None else read, patience_seconds=0)  # type: ignore[arg-type]
    return verify(lake.paths, context)


def found(report: Report) -> dict[Code, dict[int, list[tuple[int, int]]]]:
    """Return the places of the findings by code and partition, as (first, last)."""
    places: dict[Code, dict[int, list[tuple[int, int]]]] = {}
    for finding in report.findings:
        by_partition = places.setdefault(finding.code, {})
        for partition, ranges in finding.places.items():
            by_partition.setdefault(partition, []).extend((span.start, span.end - 1) for span in ranges)
    return places


def rewrite(lake: BuiltLake, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace all data files of a table by one file with changed rows."""
    folder = lake.paths.table(name)
    table = DeltaTable(str(folder))
    old = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    rows = pa.concat_tables([pq.ParquetFile(folder / file["path"]).read() for file in old])
    date = {"date": DATE} if name == TICKS else {}
    new = write_data_file(change(rows), name, folder, date)
    removed = [
        RemoveAction(
            path=file["path"],
            size=file["size_bytes"],
            partition_values={**date},
            deletion_timestamp=MOMENT_MS,
            data_change=True,
        )
        for file in old
    ]
    table.create_write_transaction([*removed, add(new)], "append", table.schema(), ["date"] if date else [])


def add(file: WrittenFile) -> AddAction:
    """Return the action that adds a data file to the log."""
    statistics = msgspec.json.encode(file.statistics).decode()
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=file.partition_values,
        modification_time=MOMENT_MS,
        data_change=True,
        stats=statistics,
    )


def at(rows: pa.Table, partition: int, *offsets: int) -> pa.Array:
    """Return a mask of the rows at these coordinates."""
    at_offsets = pc.is_in(rows.column("kafka_offset"), pa.array(offsets, pa.int64()))
    return pc.and_(pc.equal(rows.column("kafka_partition"), pa.scalar(partition, pa.int32())), at_offsets)


def drop(lake: BuiltLake, name: str, partition: int, *offsets: int) -> None:
    """Delete rows of a table."""
    rewrite(lake, name, lambda rows: rows.filter(pc.invert(at(rows, partition, *offsets))))


def double(lake: BuiltLake, name: str, partition: int, *offsets: int) -> None:
    """Duplicate rows of a table."""
    rewrite(lake, name, lambda rows: pa.concat_tables([rows, rows.filter(at(rows, partition, *offsets))]))


def set_column(rows: pa.Table, name: str, values: list[object]) -> pa.Table:
    """Replace a column."""
    return rows.set_column(rows.schema.get_field_index(name), name, pa.array(values, rows.schema.field(name).type))


def write_ledger(lake: BuiltLake, *lines: Mapping[str, object], source: str = "sim-1") -> Path:
    """Write a ledger with a header."""
    file = lake.paths.ledgers / f"{source}.jsonl"
    file.parent.mkdir(exist_ok=True)
    header = {"source": source, "topic": TOPIC}
    file.write_text("".join(f"{json.dumps(line)}\n" for line in (header, *lines)))
    return file
