"""The newest tick of each symbol."""

from __future__ import annotations

from finance_lake.reading.source import ORDER


def candidates(source: str, keys: str = "") -> str:
    """Give the SQL of ticks among which the newest are: those of the newest moment of each symbol, and of `keys` too."""
    # Two looks at few columns cost half of one that carries all of them along.
    return f"""
        WITH moments AS MATERIALIZED (SELECT {keys}symbol, max(ts_event) AS ts_event FROM {source} GROUP BY ALL)
        SELECT ticks.* FROM {source} AS ticks JOIN moments USING ({keys}symbol, ts_event)"""


def newest(ticks: str, drop: str = "") -> str:
    """Give the SQL of the newest tick of each symbol, by symbol."""
    order = ", ".join(f"{name} DESC" for name in ORDER)
    return f"""
        SELECT * {f"EXCLUDE ({drop})" if drop else ""} FROM ({ticks})
        QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY {order}) = 1 ORDER BY symbol"""
