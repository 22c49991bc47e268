"""SQL that makes bars of rows that are given, ticks or shorter bars, and that fills in bars without ticks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.query import bars
from finance_lake.query.bars import MAX_SIZE
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

OF_TICKS = ("symbol", "price", "size", "ts_event", "kafka_partition", "kafka_offset")
OF_BARS = ("symbol", "ts", "open", "high", "low", "close", "volume", "vwap", "ticks")
# Larger than any volume that is shown, so that a sum with it is null again.
UNKNOWN = 2**64


def span(columns: Sequence[str], rows: str = "given") -> str:
    """Return the SQL of the first and the last time of rows, in microseconds. Raises RequestError for other columns."""
    time = "ts_event" if "price" in columns and "ts_event" in columns else "ts"
    if time not in columns:
        raise RequestError(f"Only ticks and bars can be resampled: the rows have only {', '.join(columns)}.")
    return f"SELECT epoch_us(min({time})) AS first, epoch_us(max({time})) AS last FROM {rows}"


def partial(columns: Sequence[str], step_us: int) -> str:
    """Return the SQL of partial bars of the table `given`, by symbol and bucket. Raises RequestError if a column is missing."""
    is_ticks = "price" in columns
    if missing := [name for name in (OF_TICKS if is_ticks else OF_BARS) if name not in columns]:
        kind = "Ticks" if is_ticks else "Bars"
        raise RequestError(
            f"{kind} without the column {missing[0]} cannot be resampled: the rows have only {', '.join(columns)}."
        )
    if is_ticks:
        nanos = "" if "ts_event_nanos" in columns else ", 0::SMALLINT AS ts_event_nanos"
        return bars.partial(f"(SELECT *{nanos} FROM given)", step_us)
    largest = f"CASE WHEN volume IS NULL OR (volume > 0 AND vwap IS NULL) THEN {MAX_SIZE + 1} ELSE volume END"
    return f"""
        SELECT symbol, epoch_us(ts) // {step_us} AS stretch,
               min({{'at': ts, 'price': open}}) AS opening, max(high) AS high, min(low) AS low,
               max({{'at': ts, 'price': close}}) AS closing,
               sum(coalesce(volume::HUGEINT, {UNKNOWN}::HUGEINT))::HUGEINT AS volume, max({largest}) AS largest,
               coalesce(sum(vwap * volume) FILTER (volume <= {MAX_SIZE}), 0)::DECIMAL(38, 8) AS notional,
               sum(ticks)::BIGINT AS ticks
        FROM given GROUP BY ALL"""


def filled_count() -> str:
    """Return the SQL of the number of bars that `filled` returns."""
    return f"SELECT count(*) AS bars FROM ({_grid()})"


def filled() -> str:
    """Return the SQL of the bars `found` with those added that the times of `grid` have between two bars of a symbol."""
    prices = ", ".join(f"coalesce({name}, carried) AS {name}" for name in ("open", "high", "low", "close"))
    return f"""
        SELECT symbol, ts, {prices}, CASE WHEN ticks IS NULL THEN 0 ELSE volume END AS volume, vwap, coalesce(ticks, 0) AS ticks
        FROM (
            SELECT *, last_value(close IGNORE NULLS) OVER (PARTITION BY symbol ORDER BY ts) AS carried
            FROM ({_grid()}) LEFT JOIN found USING (symbol, ts)
        ) ORDER BY symbol, ts"""


def _grid() -> str:
    return """
        SELECT symbol, grid.ts FROM (SELECT symbol, min(ts) AS first, max(ts) AS last FROM found GROUP BY symbol) AS spans
        JOIN grid ON grid.ts BETWEEN first AND last"""
