"""Coverage: how densely each symbol was told, minute by minute, and where a source's numbering has holes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.query.relations import ORDER
from finance_lake.query.selection import UNIT_US, Selection

if TYPE_CHECKING:
    from finance_lake.query.snapshot import Snapshot

MINUTE_US = UNIT_US["m"]


def coverage_sql(snapshot: Snapshot, wanted: Selection) -> str:
    """Give the SQL of the coverage.

    What comes before the first minute that was asked for counts for its silence, and the ticks of all symbols count for the
    numbering: a source numbers its ticks, not those of a symbol. To put all ticks in order takes most of the time, and is done
    for those sources alone whose numbers do not add up.
    """
    theirs = snapshot.source(Selection(wanted.symbols))
    numbered = f"(SELECT * FROM {snapshot.source(Selection())} WHERE source IS NOT NULL AND seq IS NOT NULL)"
    within = Selection((), wanted.start, wanted.end).where
    return f"""
        WITH holed AS (
            SELECT source FROM {numbered} GROUP BY source
            HAVING count(*) <> max(seq)::HUGEINT - min(seq) + 1
                OR 2 * sum(seq) <> count(*)::HUGEINT * (min(seq)::HUGEINT + max(seq))
        ), gaps AS (
            SELECT symbol, ts_event, seq - lag(seq) OVER (PARTITION BY source ORDER BY seq) - 1 AS missing
            FROM {numbered} WHERE source IN (FROM holed)
        ), holes AS (
            SELECT symbol, epoch_us(ts_event) // {MINUTE_US} AS stretch, sum(missing)::BIGINT AS missing
            FROM gaps WHERE missing > 0 GROUP BY ALL
        ), told AS (
            SELECT symbol, ts_event, epoch_us(ts_event)
                   - lag(epoch_us(ts_event)) OVER (PARTITION BY symbol ORDER BY {", ".join(ORDER)}) AS silence
            FROM {theirs}
        ), minutes AS (
            SELECT symbol, epoch_us(ts_event) // {MINUTE_US} AS stretch, count(*) AS ticks, max(silence) AS silence
            FROM told WHERE {within} GROUP BY ALL
        )
        SELECT symbol, make_timestamptz(stretch * {MINUTE_US}) AS ts, ticks, silence, coalesce(missing, 0) AS missing
        FROM minutes LEFT JOIN holes USING (symbol, stretch) ORDER BY symbol, ts"""


def with_durations(minutes: pa.Table) -> pa.Table:
    """Give silences as durations."""
    place = minutes.column_names.index("silence")
    return minutes.set_column(place, "silence", minutes.column("silence").cast(pa.duration("us")))
