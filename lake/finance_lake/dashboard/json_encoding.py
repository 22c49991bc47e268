"""Rows of the lake as JSON and CSV: decimals and large integers as strings, times as ISO text, bytes as escapes."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec

from finance_lake.query import values
from finance_role.text import inert, plain, price
from finance_storage.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

# Beyond it a browser's numbers are no longer exact.
MAX_SAFE_INTEGER = 2**53 - 1
ROWS_PER_CHUNK = 2_000
NUMBERS = int | float | Decimal
QUOTE = '"'
TO_BE_QUOTED = re.compile(r"[^\w.:+' -]|^\s|\s$", re.ASCII)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Give rows that any JSON encoder takes."""
    return [{name: sent(value) for name, value in row.items()} for row in values.rows(table)]


def sent(value: Any) -> Any:  # noqa: ANN401, PLR0911 (one kind of value after another)
    """Give one value as it is sent."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
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


def as_json(head: dict[str, Any], table: pa.Table, most_bytes: int) -> bytes:
    """Give an object whose member `rows` has the rows, by the places of their columns: names of a query can occur twice.

    Raises QueryError where it has more bytes.
    """
    pieces = (b",".join(msgspec.json.encode(list(row)) for row in rows) for rows in _pieces(table, sent))
    rows = _joined(pieces, b",", most_bytes)
    return msgspec.json.encode(head)[:-1] + b',"rows":[' + rows + b"]}"


def as_csv(table: pa.Table, most_bytes: int) -> bytes:
    """Give a table as CSV. Text that a spreadsheet would run as a formula gets an apostrophe before it.

    Raises QueryError where it has more bytes.
    """
    names = _lines([[inert(name) for name in table.column_names]])
    return _joined(chain([names], map(_lines, _pieces(table, _cell))), b"", most_bytes)


def _pieces(table: pa.Table, form: Callable[[Any], Any]) -> Iterator[Iterable[tuple[Any, ...]]]:
    """Give the rows piece by piece: as Python's values they take many times as much memory."""
    for start in range(0, table.num_rows, ROWS_PER_CHUNK):
        piece = table.slice(start, ROWS_PER_CHUNK)
        yield zip(*([form(value) for value in values.values(column)] for column in piece.columns), strict=True)


def _joined(pieces: Iterable[bytes], separator: bytes, most_bytes: int) -> bytes:
    whole = bytearray()
    for piece in pieces:
        whole += (separator if whole else b"") + piece
        if len(whole) > most_bytes:
            raise QueryError(f"The answer is larger than {most_bytes // 1024**2:,} MB: select less, add LIMIT, or aggregate.")
    return bytes(whole)


def _cell(value: Any) -> Any:  # noqa: ANN401
    shown = sent(value)
    return inert(shown) if isinstance(shown, str) and not isinstance(value, NUMBERS) else shown


def _lines(lines: Iterable[Iterable[Any]]) -> bytes:
    return "".join(f"{','.join(map(_field, line))}\r\n" for line in lines).encode(errors="replace")


def _field(value: Any) -> str:  # noqa: ANN401
    """Write a field; null is empty, and empty text is quoted."""
    text = "" if value is None else str(value)
    # Python's csv would leave a semicolon bare, at which spreadsheets of half of Europe split a line.
    return f'"{text.replace(QUOTE, QUOTE * 2)}"' if TO_BE_QUOTED.search(text) or value == "" else text
