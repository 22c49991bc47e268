"""The newest rows of the table of ticks, by when they arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finance_lake.reading.arrivals import newest_first, opened
from finance_lake.reading.values import rows

if TYPE_CHECKING:
    from finance_lake.reading.snapshot import Snapshot

COLUMNS = ("symbol", "price", "size", "ts_event", "kafka_timestamp", "kafka_partition", "kafka_offset")


def newest_rows(snapshot: Snapshot, count: int) -> list[dict[str, Any]]:
    """Return the rows that arrived last, newest first. Opens only as many files as it needs to be sure."""
    newest: list[dict[str, Any]] = []
    for file in newest_first(snapshot.ticks):
        if len(newest) == count and file.last_arrival and file.last_arrival < newest[-1]["kafka_timestamp"]:
            break
        with opened(file) as parquet:
            newest += rows(parquet.read(columns=list(COLUMNS)))
        newest = sorted(newest, key=lambda row: (row["kafka_timestamp"], row["kafka_offset"]), reverse=True)[:count]
    return newest
