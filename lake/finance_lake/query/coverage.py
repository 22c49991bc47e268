"""Coverage: the tick density of each symbol per minute, and gaps in a source's sequence numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.query.relations import ORDER
from finance_lake.query.selection import UNIT_US, Selection

if TYPE_CHECKING:
    from finance_lake.query.snapshot import Snapshot

MINUTE_US = UNIT_US["m"]


def coverage_sql(snapshot: Snapshot, selection: Selection) -> str:
    """Return the SQL of the coverage.

    Ticks before the selected time count for the silence of its first minute. Ticks of all symbols count for the numbering,
    because a source numbers all its ticks, not those of each symbol. Sorting all ticks takes most of the time, so it is done
    only for sources whose numbers do not add up.
    """
    selected = snapshot.source(Selection(selection.symbols))
    numbered = f"(SELECT * FROM {snapshot.source(Selection())} WHERE source IS NOT NULL AND seq IS NOT NULL)"
    within = Selection((), selection.start, selection.end).where
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
        ), silences AS (
            SELECT symbol, ts_event, epoch_us(ts_event)
                   - lag(epoch_us(ts_event)) OVER (PARTITION BY symbol ORDER BY {", ".join(ORDER)}) AS silence
            FROM {selected}
        ), minutes AS (
            SELECT symbol, epoch_us(ts_event) // {MINUTE_US} AS stretch, count(*) AS ticks, max(silence) AS silence
            FROM silences WHERE {within} GROUP BY ALL
        )
        SELECT symbol, make_timestamptz(stretch * {MINUTE_US}) AS ts, ticks, silence, coalesce(missing, 0) AS missing
        FROM minutes LEFT JOIN holes USING (symbol, stretch) ORDER BY symbol, ts"""


def with_durations(minutes: pa.Table) -> pa.Table:
    """Return the table with `silence` as durations."""
    index = minutes.column_names.index("silence")
    return minutes.set_column(index, "silence", minutes.column("silence").cast(pa.duration("us")))
