"""Tables as SQL for DuckDB: the list of data files that the Delta log names, not a folder.

DuckDB's own Delta extension is not part of its wheel and would be downloaded at run time. The list of files is sufficient as
long as a table has neither deletion vectors nor mapped columns, which `snapshot` checks. Files written before a column was
added lack it. Tables with such columns are read by column name, and missing columns are null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.query.selection import identifier, quoted
from finance_storage.bucket_cache import fetch
from finance_storage.schemas import FIRST, PARTITIONS, sql_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

# The order of a symbol's ticks: by event time, then by partition and offset.
# A tick without its own event time has no nanoseconds either.
ORDER = ("ts_event", "coalesce(ts_event_nanos, 0)", "kafka_partition", "kafka_offset")
FILE = {"filename": "VARCHAR"}

Columns = dict[str, str]


def sql_columns(fields: Iterable[pa.Field]) -> Columns:
    """Return the SQL types of columns by name. Columns of unsupported types, such as lists, are left out."""
    types = {field.name: sql_type(field.type) for field in fields}
    return {name: kind for name, kind in types.items() if kind}


def source(table: str, paths: Iterable[str], later: Columns | None = None, *, with_file: bool = False) -> str:
    """Return the SQL of a table's rows in these files.

    `later` are the table's columns that not every file has; pass them only if they are needed. `with_file` adds the column
    `filename`.
    """
    paths = list(paths)
    fetch(paths)
    always = sql_columns([*FIRST[table], *PARTITIONS[table]])
    columns = always | (later or {}) | (FILE if with_file else {})
    listed = ", ".join(map(quoted, paths))
    if not listed:
        return _no_rows(columns)
    in_path = ", ".join(f"'{name}': {kind}" for name, kind in sql_columns(PARTITIONS[table]).items())
    options = f", hive_partitioning = true, hive_types = {{{in_path}}}" if in_path else ", hive_partitioning = false"
    if later:
        rows = f"SELECT * FROM read_parquet([{listed}]{options}, union_by_name = true{', filename = true' * with_file})"
        names = ", ".join(map(identifier, columns))
        return f"(SELECT {names} FROM (FROM {_no_rows(columns)} UNION ALL BY NAME {rows}))"
    if with_file:
        return f"(SELECT * EXCLUDE (filename), filename FROM read_parquet([{listed}]{options}, filename = true))"
    return f"read_parquet([{listed}]{options})"


def parquet_files(paths: Iterable[str]) -> str:
    """Return the SQL of the rows of some files, at least one, with the columns that the files have."""
    paths = list(paths)
    fetch(paths)
    return f"read_parquet([{', '.join(map(quoted, paths))}], hive_partitioning = false)"


def _no_rows(columns: Columns) -> str:
    return f"(SELECT {', '.join(f'NULL::{kind} AS {identifier(name)}' for name, kind in columns.items())} WHERE false)"
