"""The columns of the two tables: one schema for all code that writes, reads and judges them.

The forms for other engines follow from the Arrow types here: DuckDB's by `sql_type`, Delta's by `finance_job.tables.schema`,
Spark's by pyspark's `from_arrow_type`. The fields that the decoder reads have the types of their columns.

`FIRST` never changes: every data file of every lake has these columns. A column that is added later goes into `LATER` and must
be nullable: the job adds it to tables that lack it (finance_job.schema_guard), and a data file without it is read as null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
PRICE = pa.decimal128(18, 8)

FIRST = {
    TICKS: pa.schema(
        {
            "symbol": pa.string(),
            "price": PRICE,
            "size": pa.int64(),
            "ts_event": UTC_MICROSECONDS,
            "ts_event_nanos": pa.int16(),
            "seq": pa.int64(),
            "source": pa.string(),
            "kafka_partition": pa.int32(),
            "kafka_offset": pa.int64(),
            "kafka_timestamp": UTC_MICROSECONDS,
            "ingested_at": UTC_MICROSECONDS,
        }
    ),
    QUARANTINE: pa.schema(
        {
            "kafka_partition": pa.int32(),
            "kafka_offset": pa.int64(),
            "kafka_timestamp": UTC_MICROSECONDS,
            "key": pa.binary(),
            "value": pa.binary(),
            "value_length": pa.int64(),
            "value_sha256": pa.string(),
            "reason": pa.string(),
            "detail": pa.string(),
            "ingested_at": UTC_MICROSECONDS,
        }
    ),
}
LATER = {TICKS: pa.schema([]), QUARANTINE: pa.schema([])}
# The columns of the data files that this version writes.
FIELDS = {name: pa.schema([*FIRST[name], *LATER[name]]) for name in FIRST}
# Partition columns are in the path and the log, as in any Delta table, but in no data file. `date` is the UTC date of arrival.
PARTITIONS = {TICKS: pa.schema({"date": pa.date32()}), QUARANTINE: pa.schema([])}

TICK_FIELDS = FIELDS[TICKS]
QUARANTINE_FIELDS = FIELDS[QUARANTINE]
# Columns with minimum and maximum in the log: those that queries filter on and that order the files.
STATISTICS = {
    TICKS: ("symbol", "ts_event", "kafka_partition", "kafka_offset", "kafka_timestamp"),
    QUARANTINE: ("kafka_partition", "kafka_offset", "kafka_timestamp", "reason"),
}

# Without a time zone; Delta needs a newer protocol for it.
LOCAL_MICROSECONDS = pa.timestamp("us")
# DuckDB's types; decimals have theirs from `sql_type`.
SQL_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
    pa.date32(): "DATE",
    LOCAL_MICROSECONDS: "TIMESTAMP",
    UTC_MICROSECONDS: "TIMESTAMPTZ",
}
# Types that texts have in files of other Parquet writers, and those that this project gives them in memory.
OTHER_TEXTS = {
    pa.string_view(): pa.string(),
    pa.binary_view(): pa.binary(),
    pa.large_string(): pa.string(),
    pa.large_binary(): pa.binary(),
}
# Types that can be added to a table without a newer Delta protocol. Columns of other types are not adopted from a data file.
PLAIN = frozenset(SQL_TYPES) - {LOCAL_MICROSECONDS}


def sql_type(kind: pa.DataType) -> str | None:
    """Return DuckDB's type for an Arrow type; None for types that no query reads, such as lists."""
    if pa.types.is_decimal128(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return SQL_TYPES.get(kind)


def is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type may be added to a table."""
    return kind in PLAIN or bool(pa.types.is_decimal128(kind))


def later_columns(name: str, table: pa.Schema) -> pa.Schema:
    """Return the columns of a table that not every data file has: those added later, by this project or by another tool."""
    always = {*FIRST[name].names, *PARTITIONS[name].names}
    return pa.schema([field for field in table if field.name not in always])


def unknown_columns(file: pa.Schema, table: pa.Schema) -> list[pa.Field]:
    """Return the columns of a data file that its table's schema lacks; readers of the table do not see them."""
    return [field for field in file if field.name not in table.names]


def shape_fault(name: str, file: pa.Schema, table: pa.Schema) -> str | None:
    """Return how a data file's columns differ from its table's, ignoring unknown columns; None if they do not."""
    if absent := [column for column in FIRST[name].names if column not in file.names]:
        return f"has no column {absent[0]!r}"
    return next(_other_types(file, table), None)


def _other_types(file: pa.Schema, table: pa.Schema) -> Iterator[str]:
    for field in file:
        if field.name in table.names and not _is_same(field.type, expected := table.field(field.name).type):
            yield f"has column {field.name!r} as {field.type}, the table has it as {expected}"


def _is_same(actual: pa.DataType, expected: pa.DataType) -> bool:
    return actual == expected or (_is_text(actual) and _is_text(expected)) or (_is_bytes(actual) and _is_bytes(expected))


def _is_text(kind: pa.DataType) -> bool:
    # Other tools store text as other Arrow types.
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
