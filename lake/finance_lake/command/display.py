"""Rows on a terminal and as JSON."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from finance_lake.reading.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

WIDEST_CELL = 80
PIPE_COLUMNS = 100_000


def as_json(value: object) -> str:
    """Encode for programs: prices as strings, which no parser turns into a float, times as ISO text, bytes in base 64."""
    import msgspec

    return msgspec.json.encode(value).decode()


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str]) -> None:
    """Lay rows out as a table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    names = list(columns)
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for name in names:
        numbers = any(isinstance(row[name], int | float | Decimal) for row in rows[:100])
        table.add_column(Text(plain(name)), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row[name])) for name in names))
    console().print(table)


def console() -> Console:
    """Standard output; a pipe has no width of its own, and half a price is no price."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS, soft_wrap=True)


def cell(value: Any) -> str:  # noqa: ANN401
    """Show a value: a price without zeros that say nothing, a count with thousands, text escaped, and cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return price(value)
    if isinstance(value, int):
        return f"{value:,}"
    text = plain(value).removesuffix("+00:00")
    return text if len(text) <= WIDEST_CELL else text[: WIDEST_CELL - 3] + "..."


def price(value: Decimal) -> str:
    """Show a decimal in plain digits, at least two after the point where it has a fraction."""
    text = f"{value:f}"
    if "." not in text:
        return text
    whole, fraction = text.split(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def duration(seconds: float) -> str:
    """Show how long: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    for limit, unit, name in ((10, 1, " s"), (120, 1, " s"), (7200, 60, " min"), (172_800, 3600, " h")):
        if seconds < limit:
            return f"{seconds / unit:.1f}{name}" if limit == 10 else f"{seconds / unit:.0f}{name}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} d"
