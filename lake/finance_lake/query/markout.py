"""Markouts: the price at some times after each tick, and its difference to the tick's own price."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from finance_lake.query.asof import at, newest_by_time
from finance_lake.query.selection import identifier
from finance_lake.query.times import parse_duration
from finance_storage.errors import RequestError
from finance_storage.schemas import PRICE, sql_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from finance_lake.query.times import Duration

MICROSECOND = timedelta(microseconds=1)


def horizons_of(horizons: Iterable[Duration]) -> dict[str, int]:
    """Return horizons by the name of their columns, in nanoseconds. Raises RequestError."""
    steps = {_name(horizon): parse_duration(horizon, "horizon", negative=True) // MICROSECOND * 1000 for horizon in horizons}
    if not steps:
        raise RequestError("horizons is empty: name at least one, such as 10s.")
    return steps


def join(left: Sequence[str], right: Sequence[str], steps: dict[str, int], price: str, *, across: bool) -> str:
    """Return the SQL over the tables `left_rows` and `right_rows`, which have these columns. Raises RequestError."""
    needed = {price} if across else {price, "symbol"}
    for columns in (left, right):
        if missing := sorted(needed - set(columns)):
            raise RequestError(
                f"A markout needs the column {missing[0]!r} in both selections: one has only {', '.join(columns)}."
            )
    added = [name for step in steps for name in (f"price_{step}", f"markout_{step}")]
    if twice := next((name for name in added if name in left), None):
        raise RequestError(f"The rows have a column {twice!r} already: choose another horizon.")
    key, amount = "1" if across else "symbol", f"l.{identifier(price)}"
    columns, joins = [f"l.{identifier(name)}" for name in left], []
    for number, (name, step) in enumerate(steps.items()):
        then = f"CASE WHEN l.markout_at + {step} <= last.markout_last THEN r{number}.markout_price END"
        columns += [
            f"{then} AS {identifier(f'price_{name}')}",
            f"({then} - {amount})::{sql_type(PRICE)} AS {identifier(f'markout_{name}')}",
        ]
        on = f"l.markout_key = r{number}.asof_key AND l.markout_at + {step} >= r{number}.asof_at"
        joins.append(f"ASOF LEFT JOIN r AS r{number} ON {on}")
    return f"""
        WITH l AS (
            SELECT *, {at(left)} AS markout_at, {key} AS markout_key, row_number() OVER () AS markout_row FROM left_rows
        ), r AS (
            SELECT asof_key, asof_at, {identifier(price)} AS markout_price FROM ({newest_by_time(right, key)})
        ), last AS (SELECT asof_key, max(asof_at) AS markout_last FROM r GROUP BY asof_key)
        SELECT {", ".join(columns)} FROM l {" ".join(joins)}
        LEFT JOIN last ON l.markout_key = last.asof_key ORDER BY l.markout_row"""


def _name(horizon: Duration) -> str:
    if isinstance(horizon, str):
        return horizon
    microseconds = horizon // MICROSECOND
    for unit, size in (("s", 1_000_000), ("ms", 1000)):
        if microseconds % size == 0:
            return f"{microseconds // size}{unit}"
    return f"{microseconds}us"
