"""Print rows as tables and as JSON."""

from __future__ import annotations

import errno
import os
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from finance_role.text import plain, price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

MAX_CELL_WIDTH = 80
PIPE_COLUMNS = 100_000
ROWS_PER_CHUNK = 10_000
# Spaces between two columns; the first that fits is used.
GAPS = (2, 1)


def as_json(value: object) -> str:
    """Encode as JSON: prices as strings so that no parser turns them into floats, times as ISO text, bytes as base64."""
    import msgspec

    return msgspec.json.encode(value).decode()


def print_json_rows(head: Mapping[str, Any], table: pa.Table) -> None:
    """Print an object with the members of `head`, and `rows`. Rows are converted in chunks: they take more memory in Python."""
    from finance_lake.query.values import rows

    sys.stdout.write(as_json(head)[:-1] + ',"rows":[')
    for start in range(0, table.num_rows, ROWS_PER_CHUNK):
        chunk = ",".join(map(as_json, rows(table.slice(start, ROWS_PER_CHUNK))))
        sys.stdout.write(f",{chunk}" if start else chunk)
    print("]}")


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Iterable[str], tz: str | None = None) -> None:
    """Print rows as a table, or one value per line if the table is wider than the terminal. Times are in `tz`, or UTC."""
    from rich.measure import Measurement

    names, out = list(columns), console()
    rows = [{name: in_zone(value, tz) for name, value in row.items()} for row in rows] if tz else rows
    for gap in GAPS:
        table = _table(rows, names, gap, tz or "UTC")
        if Measurement.get(out, out.options.update(width=PIPE_COLUMNS), table).maximum <= out.width:
            out.print(table)
            return
    out.print(_one_value_per_line(rows, names))


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], gap: int, tz: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for name in names:
        samples = [row[name] for row in rows[:100]]
        numbers = any(isinstance(value, int | float | Decimal) for value in samples)
        zone = f" ({tz})" if any(isinstance(value, datetime) and value.tzinfo for value in samples) else ""
        table.add_column(Text(plain(name) + zone), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell(row[name])) for name in names))
    return table


def _one_value_per_line(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", overflow="fold")
    table.add_column(overflow="fold")
    for number, row in enumerate(rows):
        if number:
            table.add_row()
        for name in names:
            table.add_row(Text(plain(name)), Text(cell(row[name])))
    return table


def console() -> Console:
    """Return a console on standard output. A pipe has no width, so lines are not cut there."""
    from rich.console import Console as Base

    class Console(Base):
        """A console that raises BrokenPipeError, so that the command reports it."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return Console() if sys.stdout.isatty() else Console(width=PIPE_COLUMNS, soft_wrap=True)


def progress() -> Progress:
    """Return a progress bar on standard error, shown only if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def cell(value: Any) -> str:  # noqa: ANN401
    """Format a value: prices without trailing zeros, counts with thousands separators, text escaped and cut if it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return price(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, datetime):
        return format_time(value)
    text = plain(value)
    return text if len(text) <= MAX_CELL_WIDTH else text[: MAX_CELL_WIDTH - 3] + "..."


def in_zone(value: Any, tz: str | None) -> Any:  # noqa: ANN401
    """Return a time in a zone; UTC, and all other values, as they are."""
    from finance_lake.query.times import parse_zone

    return value.astimezone(parse_zone(tz)) if tz and isinstance(value, datetime) and value.tzinfo else value


def stamp(at: datetime, tz: str | None = None) -> str:
    """Format a time in a zone, or UTC, to the second, with the name of the zone."""
    return f"{in_zone(at, tz):%Y-%m-%d %H:%M:%S %Z}"


def format_time(value: datetime) -> str:
    """Format a time with no, three or six decimals of a second, as needed, and its offset from UTC unless that is zero."""
    precision = "microseconds" if value.microsecond % 1000 else "milliseconds" if value.microsecond else "seconds"
    return value.isoformat(" ", precision).removesuffix("+00:00")


def duration(seconds: float) -> str:
    """Format a duration: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    for limit, unit, name in ((10, 1, " s"), (120, 1, " s"), (7200, 60, " min"), (172_800, 3600, " h")):
        if seconds < limit:
            return f"{seconds / unit:.1f}{name}" if limit == 10 else f"{seconds / unit:.0f}{name}"  # noqa: PLR2004
    return f"{seconds / 86_400:.0f} d"
