"""The rows of a Parquet file as text, through duckdb, which writes decimals and nanoseconds as text exactly."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from finance_producer.rows import COLUMNS, Row, UnreadableError, require_columns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FETCHED_ROWS = 1000

_TEXT = "VARCHAR"
_INTEGER = "U?(TINYINT|SMALLINT|INTEGER|BIGINT)"
_TYPES = {
    "symbol": _TEXT,
    "price": rf"{_TEXT}|{_INTEGER}|DECIMAL\(.*\)",
    "size": f"{_TEXT}|{_INTEGER}",
    "ts_event": f"{_TEXT}|{_INTEGER}|DATE|TIMESTAMP.*",
}


def parquet_rows(file: Path) -> Iterator[Row]:
    """Give the rows of a Parquet file; raises UnreadableError also for a column of binary floating point."""
    try:
        with _frugal_connection() as connection:
            described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
            types = {name: str(type_) for name, type_, *_ in described}
            require_columns(file, [name for name, *_ in described])
            _require_exact_types(file, types)
            # The columns are ours, not the file's.
            cells = ", ".join(f"CAST({name if name in types else 'NULL'} AS VARCHAR)" for name in COLUMNS)
            cursor = connection.execute(f"SELECT {cells} FROM read_parquet(?)", [str(file)])  # noqa: S608
            yield from _numbered(cursor)
    except duckdb.Error as error:
        raise UnreadableError(f"{file} cannot be read: {str(error).splitlines()[0]}.") from None


def _frugal_connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1, "memory_limit": "256MB", "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _require_exact_types(file: Path, types: dict[str, str]) -> None:
    for name, exact in _TYPES.items():
        actual = types.get(name, _TEXT)
        if actual in {"FLOAT", "DOUBLE"}:
            raise UnreadableError(
                f"{file} holds {name} as {actual}, binary floating point, which has no exact decimal value:"
                f" store it as {'a decimal' if name == 'price' else 'an integer'} or as text."
            )
        if not re.fullmatch(exact, actual):
            raise UnreadableError(f"{file} holds {name} as {actual}, which is no type for it: store it as text.")


def _numbered(cursor: duckdb.DuckDBPyConnection) -> Iterator[Row]:
    number = 0
    while fetched := cursor.fetchmany(FETCHED_ROWS):
        for number, cells in enumerate(fetched, number + 1):  # noqa: B020
            yield Row(number, *(cell and (cell.strip() or None) for cell in cells))
