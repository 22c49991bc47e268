"""Bars: open, high, low, close, volume, VWAP and number of ticks of a symbol per time bucket.

A tick without size counts as volume 0. VWAP is exact, rounded half up to 8 decimals; it is null for a bar without volume, and
for a bar with a tick larger than 10^12. A volume beyond 64 bits is null. In the SQL, `stretch` is the number of a bucket.
"""

from __future__ import annotations

from finance_lake.query.relations import ORDER
from finance_storage.schemas import PRICE, sql_type

# Beyond it the sum of price times size could exceed DuckDB's 38 digits, and one such tick would fail the query.
MAX_SIZE = 10**12


def partial(source: str, step_us: int, keys: str = "") -> str:
    """Return the SQL of partial bars by symbol and bucket, and by `keys` (such as `filename, `). They can be added up."""
    # Structs compare field by field, so the smallest struct is the first tick, with its price.
    tick = ", ".join([*(f"'order_{place}': {term}" for place, term in enumerate(ORDER)), "'price': price"])
    return f"""
        SELECT {keys}symbol, epoch_us(ts_event) // {step_us} AS stretch,
               min({{{tick}}}) AS opening, max(price) AS high, min(price) AS low, max({{{tick}}}) AS closing,
               coalesce(sum(size), 0)::HUGEINT AS volume, coalesce(max(size), 0) AS largest,
               coalesce(sum(price * size) FILTER (size <= {MAX_SIZE}), 0)::DECIMAL(38, 8) AS notional, count(*) AS ticks
        FROM {source} GROUP BY ALL"""


def whole(partials: str, step_us: int) -> str:
    """Return the SQL of the bars that partial bars add up to, by symbol, then time."""
    # The text always has 8 decimals, so without the point it is the amount in units of 10^-8.
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
                   (((2 * notional + volume) // (2 * volume))::DECIMAL(18, 0) * 0.00000001::DECIMAL(9, 8))::{sql_type(PRICE)}
               END AS vwap,
               ticks
        FROM added ORDER BY symbol, ts"""
