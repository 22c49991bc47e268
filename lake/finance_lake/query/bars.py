"""Bars: the ticks of a symbol in each stretch of time, as open, high, low, close, volume, VWAP and count.

A tick without size has volume 0. VWAP is exact, rounded half up to 8 decimals; it is null for a bar without volume, which has
nothing to weigh by, and for one with a tick of more than 10^12 pieces. A volume beyond 64 bits is null.
"""

from __future__ import annotations

from finance_lake.query.relations import ORDER

# Beyond it the sum of price times size could leave DuckDB's 38 digits, and one such tick would fail the query.
MAX_SIZE = 10**12


def partial(source: str, step_us: int, keys: str = "") -> str:
    """Give the SQL of bars that can be added up: by symbol and stretch, and by `keys` too (such as `filename, `)."""
    # Structs compare field by field: the least tick is the first one, and it brings its price along.
    tick = ", ".join([*(f"'order_{place}': {term}" for place, term in enumerate(ORDER)), "'price': price"])
    return f"""
        SELECT {keys}symbol, epoch_us(ts_event) // {step_us} AS stretch,
               min({{{tick}}}) AS opening, max(price) AS high, min(price) AS low, max({{{tick}}}) AS closing,
               coalesce(sum(size), 0)::HUGEINT AS volume, coalesce(max(size), 0) AS largest,
               coalesce(sum(price * size) FILTER (size <= {MAX_SIZE}), 0)::DECIMAL(38, 8) AS notional, count(*) AS ticks
        FROM {source} GROUP BY ALL"""


def whole(partials: str, step_us: int) -> str:
    """Give the SQL of the bars that partial ones add up to, by symbol, then time."""
    # 8 decimals, always: without the point it is the amount in units of 10^-8.
    notional = "replace(sum(notional)::DECIMAL(38, 8)::VARCHAR, '.', '')::HUGEINT"
    return f"""
        WITH added AS (
            SELECT symbol, stretch, min(opening) AS opening, max(high) AS high, min(low) AS low, max(closing) AS closing,
                   sum(volume)::HUGEINT AS volume, max(largest) AS largest, {notional} AS notional, sum(ticks)::BIGINT AS ticks
            FROM ({partials}) GROUP BY symbol, stretch
        )
        SELECT symbol, make_timestamptz(stretch * {step_us}) AS ts,
               opening.price AS open, high, low, closing.price AS close,
               TRY_CAST(volume AS BIGINT) AS volume,
               CASE WHEN volume > 0 AND largest <= {MAX_SIZE} THEN
                   (((2 * notional + volume) // (2 * volume))::DECIMAL(18, 0) * 0.00000001::DECIMAL(9, 8))::DECIMAL(18, 8)
               END AS vwap,
               ticks
        FROM added ORDER BY symbol, ts"""
