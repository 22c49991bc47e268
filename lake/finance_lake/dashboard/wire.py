"""Rows of the lake as JSON and CSV: decimals and large integers as strings, times as ISO text, bytes as escapes."""

from __future__ import annotations

import csv
import io
import math
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from finance_lake.reading import values
from finance_lake.text import inert, plain, price

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

# Beyond it a browser's numbers are no longer exact.
LARGEST_NUMBER = 2**53 - 1
ROWS_A_PIECE = 2_000


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Give rows that any JSON encoder takes."""
    return [{name: sent(value) for name, value in row.items()} for row in values.rows(table)]


def cells(table: pa.Table) -> list[list[Any]]:
    """Give rows by the places of their columns: names of a query's columns can occur twice."""
    columns = [[sent(value) for value in values.values(column)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def sent(value: Any) -> Any:  # noqa: ANN401, PLR0911 (one kind of value after another)
    """Give one value as it is sent."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= LARGEST_NUMBER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Decimal):
        return price(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return plain(value)
    if isinstance(value, dict):
        return {str(key): sent(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [sent(one) for one in value]
    return str(value)


def as_csv(table: pa.Table) -> Iterator[bytes]:
    """Give a table as CSV, piece by piece. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    yield _lines([[inert(name) for name in table.column_names]])
    for start in range(0, table.num_rows, ROWS_A_PIECE):
        piece = table.slice(start, ROWS_A_PIECE)
        columns = [[_cell(value) for value in values.values(column)] for column in piece.columns]
        yield _lines(zip(*columns, strict=True))


def _cell(value: Any) -> Any:  # noqa: ANN401
    shown = sent(value)
    return inert(shown) if isinstance(value, str | bytes) else shown


def _lines(lines: Any) -> bytes:  # noqa: ANN401
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()
