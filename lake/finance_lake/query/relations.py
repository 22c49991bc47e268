"""A table as DuckDB reads it: the list of data files that Delta's log names, not a folder.

DuckDB's own Delta extension is no part of its wheel and would be fetched at run time. The list alone is right as long as a
table has neither deletion vectors nor mapped columns, which `snapshot` sees to. Files from before a column was added lack it:
where a table has such columns, files are read by the names of their columns, and what one lacks is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.query.selection import identifier, quoted
from finance_storage.schemas import FIRST, PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Iterable

# By Arrow's types, as the log's schema is told in them.
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
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
}
# The order of the ticks of a symbol: by when they happened, and where they are in the topic if that is one moment.
# A tick that names no moment of its own has no nanoseconds either.
ORDER = ("ts_event", "coalesce(ts_event_nanos, 0)", "kafka_partition", "kafka_offset")
FILE = {"filename": "VARCHAR"}

Columns = dict[str, str]


def sql_columns(fields: Iterable[pa.Field]) -> Columns:
    """Give columns with their SQL types, by name; those of a type that no table of ours has, such as a list, are left out."""
    types = {field.name: _sql_type(field.type) for field in fields}
    return {name: kind for name, kind in types.items() if kind}


def source(table: str, paths: Iterable[str], later: Columns | None = None, *, with_file: bool = False) -> str:
    """Give the SQL of a table's rows in these files.

    `later` are the table's columns that not every file has; who asks for none of them need not tell. `with_file` adds the
    column `filename`.
    """
    always = sql_columns([*FIRST[table], *PARTITIONS[table]])
    columns = always | (later or {}) | (FILE if with_file else {})
    listed = ", ".join(map(quoted, paths))
    if not listed:
        return _nothing(columns)
    partitioned = ", hive_partitioning = true, hive_types = {'date': DATE}"
    options = partitioned if PARTITIONS[table].names else ", hive_partitioning = false"
    if later:
        rows = f"SELECT * FROM read_parquet([{listed}]{options}, union_by_name = true{', filename = true' * with_file})"
        names = ", ".join(map(identifier, columns))
        return f"(SELECT {names} FROM (FROM {_nothing(columns)} UNION ALL BY NAME {rows}))"
    if with_file:
        return f"(SELECT * EXCLUDE (filename), filename FROM read_parquet([{listed}]{options}, filename = true))"
    return f"read_parquet([{listed}]{options})"


def _nothing(columns: Columns) -> str:
    return f"(SELECT {', '.join(f'NULL::{kind} AS {identifier(name)}' for name, kind in columns.items())} WHERE false)"


def _sql_type(kind: pa.DataType) -> str | None:
    if pa.types.is_decimal128(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    return SQL_TYPES.get(kind)
