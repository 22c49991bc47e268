"""The as-of join: each row of one selection with the newest row of another at that time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from finance_lake.query.selection import identifier
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMES = ("ts_event", "ts")  # of ticks, and of bars
PLACE = ("kafka_partition", "kafka_offset")
MICROSECOND = timedelta(microseconds=1)


def join(left: Sequence[str], right: Sequence[str], by: str | None, tolerance: timedelta | None, suffix: str) -> str:
    """Return the SQL that joins the tables `left_rows` and `right_rows`, which have these columns. Raises RequestError."""
    for columns in (left, right):
        if by is not None and by not in columns:
            raise RequestError(f"by={by!r} must be a column of both selections: one has only {', '.join(columns)}.")
    # Without an equality condition DuckDB compares every pair of rows.
    key = identifier(by) if by else "1"
    limit = "true" if tolerance is None else f"l.asof_at - r.asof_at <= {tolerance // MICROSECOND * 1000}"
    renamed = {name: name + suffix if name in left else name for name in right if name != by}
    names = [*left, *renamed.values()]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f"suffix={suffix!r} leads to two columns named {twice!r}: choose another suffix.")
    joined = [f"CASE WHEN {limit} THEN r.{identifier(old)} END AS {identifier(new)}" for old, new in renamed.items()]
    return f"""
        WITH l AS (
            SELECT *, {at(left)} AS asof_at, {key} AS asof_key, row_number() OVER () AS asof_row FROM left_rows
        ), r AS ({newest_by_time(right, key)})
        SELECT {", ".join([*(f"l.{identifier(name)}" for name in left), *joined])}
        FROM l ASOF LEFT JOIN r ON l.asof_key = r.asof_key AND l.asof_at >= r.asof_at ORDER BY l.asof_row"""


def newest_by_time(columns: Sequence[str], key: str) -> str:
    """Return the SQL of the newest row of each key and time of `right_rows`, with `asof_key` and `asof_at` (nanoseconds)."""
    place = ", ".join(f"{name} DESC" for name in PLACE if name in columns) or "1"
    return f"""
        SELECT *, {at(columns)} AS asof_at, {key} AS asof_key FROM right_rows
        QUALIFY row_number() OVER (PARTITION BY asof_key, asof_at ORDER BY {place}) = 1"""


def at(columns: Sequence[str]) -> str:
    """Return the SQL of a row's time in nanoseconds since 1970. Raises RequestError if it has none."""
    time = next((name for name in TIMES if name in columns), None)
    if time is None:
        raise RequestError(f"A selection without ts_event or ts cannot be joined by time: it has only {', '.join(columns)}.")
    return f"epoch_us({time}) * 1000" + (
        " + coalesce(ts_event_nanos, 0)" if "ts_event_nanos" in columns and time == "ts_event" else ""
    )
