"""DuckDB in this process, for our own SQL. Users' SQL runs in another process: see `sandbox`."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from typing import TYPE_CHECKING

import duckdb

from finance_lake.query.selection import quoted
from finance_role.literal_paths import by_name
from finance_storage.errors import UnreadableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

# No extension is downloaded at run time, and no Python variable of the caller can be queried as a table.
CLOSED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
ROWS_PER_BATCH = 100_000


class Engine:
    """One in-memory database. Each query uses its own cursor, so threads may share an engine."""

    def __init__(self, megabytes: int | None = None) -> None:
        """Open an empty database. Queries that need more than `megabytes` (default: DuckDB's own limit) spill to disk."""
        self._database = duckdb.connect(":memory:", config=dict(CLOSED))
        spill = tempfile.mkdtemp(prefix="financelake-")  # two databases must not share a folder
        weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        if megabytes:
            self._database.execute(f"SET memory_limit = '{megabytes}MiB'")
        # Data files never change, so their footers are cached.
        self._database.execute(f"SET parquet_metadata_cache = true; SET temp_directory = {quoted(spill)}")

    def table(self, sql: str, **tables: pa.Table) -> pa.Table:
        """Run a query and return its rows; `tables` are Arrow tables that it can name. Raises UnreadableError."""
        with self._database.cursor() as cursor:
            try:
                return _prepared(cursor, tables).sql(sql).to_arrow_table()
            except duckdb.Error as error:
                raise unreadable(error) from None

    def batches(self, sql: str, tables: Mapping[str, pa.Table] | None = None) -> Iterator[pa.RecordBatch]:
        """Run a query and yield its rows batch by batch. Raises UnreadableError."""
        with self._database.cursor() as cursor:
            try:
                yield from _prepared(cursor, tables or {}).sql(sql).to_arrow_reader(ROWS_PER_BATCH)
            except (duckdb.Error, OSError) as error:
                raise unreadable(error) from None


def unreadable(error: Exception) -> UnreadableError:
    """Return the error for data files that cannot be read."""
    reason = by_name(first_line(error))
    return UnreadableError(f"The tables cannot be read: {reason}. `make verify` shows what is wrong with the lake.")


def _prepared(cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    cursor.execute("SET TimeZone = 'UTC'")
    for name, table in tables.items():
        cursor.register(name, table)
    return cursor
