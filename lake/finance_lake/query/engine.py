"""DuckDB in this process, for SQL of our own making. What users write runs elsewhere: see `sandbox`."""

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

# Nothing is fetched at run time, and no variable of the caller's becomes a table.
CLOSED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
ROWS_PER_BATCH = 100_000


class Engine:
    """One in-memory database. Each answer comes by a cursor of its own, so that threads may ask at once."""

    def __init__(self, megabytes: int | None = None) -> None:
        """Open it; it is empty. What needs more than so many megabytes spills to the disk; DuckDB has a limit of its own."""
        self._database = duckdb.connect(":memory:", config=dict(CLOSED))
        spill = tempfile.mkdtemp(prefix="financelake-")  # of its own: two databases must not share one
        weakref.finalize(self, shutil.rmtree, spill, ignore_errors=True)
        if megabytes:
            self._database.execute(f"SET memory_limit = '{megabytes}MiB'")
        # Data files never change: their footers are read once.
        self._database.execute(f"SET parquet_metadata_cache = true; SET temp_directory = {quoted(spill)}")

    def table(self, sql: str, **tables: pa.Table) -> pa.Table:
        """Answer a query whole; `tables` are Arrow tables that it names. Raises UnreadableError."""
        with self._database.cursor() as cursor:
            try:
                return _prepared(cursor, tables).sql(sql).to_arrow_table()
            except duckdb.Error as error:
                raise unreadable(error) from None

    def batches(self, sql: str, tables: Mapping[str, pa.Table] | None = None) -> Iterator[pa.RecordBatch]:
        """Answer a query batch by batch. Raises UnreadableError."""
        with self._database.cursor() as cursor:
            try:
                yield from _prepared(cursor, tables or {}).sql(sql).to_arrow_reader(ROWS_PER_BATCH)
            except (duckdb.Error, OSError) as error:
                raise unreadable(error) from None


def unreadable(error: Exception) -> UnreadableError:
    """Say that data files could not be read."""
    what = by_name(first_line(error))
    return UnreadableError(f"The tables cannot be read: {what}. `make verify` says what is wrong with the lake.")


def _prepared(cursor: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    cursor.execute("SET TimeZone = 'UTC'")
    for name, table in tables.items():
        cursor.register(name, table)
    return cursor
