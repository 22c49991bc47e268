"""Encode rows as JSON and CSV: decimals and large integers as strings, times as ISO text, bytes escaped."""

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

# Beyond it JavaScript's numbers are no longer exact.
MAX_SAFE_INTEGER = 2**53 - 1
ROWS_PER_CHUNK = 2_000
NUMBERS = int | float | Decimal
QUOTE = '"'
TO_BE_QUOTED = re.compile(r"[^\w.:+' -]|^\s|\s$", re.ASCII)


def rows(table: pa.Table) -> list[dict[str, Any]]:
    """Return rows with values that any JSON encoder accepts."""
    return [{name: sent(value) for name, value in row.items()} for row in values.rows(table)]


def sent(value: Any) -> Any:  # noqa: ANN401, PLR0911 (one kind of value after another)
    """Return a value as it is sent."""
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
        return {str(key): sent(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [sent(item) for item in value]
    return str(value)


def as_json(head: dict[str, Any], table: pa.Table, most_bytes: int) -> bytes:
    """Encode an object with the members of `head`, and `rows` as arrays, because column names can occur twice.

    Raises QueryError if it is larger than `most_bytes`.
    """
    chunks = (b",".join(msgspec.json.encode(list(row)) for row in rows) for rows in _chunks(table, sent))
    rows = _joined(chunks, b",", most_bytes)
    return msgspec.json.encode(head)[:-1] + b',"rows":[' + rows + b"]}"


def as_csv(table: pa.Table, most_bytes: int) -> bytes:
    """Encode a table as CSV. Text that a spreadsheet would run as a formula is prefixed with an apostrophe.

    Raises QueryError if it is larger than `most_bytes`.
    """
    names = _lines([[inert(name) for name in table.column_names]])
    return _joined(chain([names], map(_lines, _chunks(table, _cell))), b"", most_bytes)


def _chunks(table: pa.Table, form: Callable[[Any], Any]) -> Iterator[Iterable[tuple[Any, ...]]]:
    """Yield the rows in chunks, because they take many times as much memory as Python values."""
    for start in range(0, table.num_rows, ROWS_PER_CHUNK):
        chunk = table.slice(start, ROWS_PER_CHUNK)
        yield zip(*([form(value) for value in values.values(column)] for column in chunk.columns), strict=True)


def _joined(chunks: Iterable[bytes], separator: bytes, most_bytes: int) -> bytes:
    encoded = bytearray()
    for chunk in chunks:
        encoded += (separator if encoded else b"") + chunk
        if len(encoded) > most_bytes:
            raise QueryError(f"The result is larger than {most_bytes // 1024**2:,} MB: select less, add LIMIT, or aggregate.")
    return bytes(encoded)


def _cell(value: Any) -> Any:  # noqa: ANN401
    encoded = sent(value)
    return inert(encoded) if isinstance(encoded, str) and not isinstance(value, NUMBERS) else encoded


def _lines(lines: Iterable[Iterable[Any]]) -> bytes:
    return "".join(f"{','.join(map(_field, line))}\r\n" for line in lines).encode(errors="replace")


def _field(value: Any) -> str:  # noqa: ANN401
    """Format a CSV field; null is empty, and empty text is quoted."""
    text = "" if value is None else str(value)
    # Python's csv does not quote semicolons, but spreadsheets in many European locales split lines at them.
    return f'"{text.replace(QUOTE, QUOTE * 2)}"' if TO_BE_QUOTED.search(text) or value == "" else text
