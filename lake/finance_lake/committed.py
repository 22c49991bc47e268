"""How far the tables are, from their logs alone, while the job writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from finance_lake.state.record import CommitRecord, decode_record

if TYPE_CHECKING:
    from pathlib import Path

    from finance_lake.state.record import Offsets

HISTORY_STEP = 100


def open_table(folder: Path) -> DeltaTable | None:
    """Open a table; None if there is none yet."""
    try:
        return DeltaTable(str(folder))
    except TableNotFoundError:
        return None


def newest_record(table: DeltaTable) -> CommitRecord | None:
    """Return the record of the job's newest commit; commits of maintenance have none and are passed over."""
    limit = HISTORY_STEP
    while True:
        history = table.history(limit)
        for commit in history:
            if record := _record(commit.get("userMetadata")):
                return record
        if len(history) < limit:
            return None
        limit *= 10


def _record(metadata: str | None) -> CommitRecord | None:
    try:
        return decode_record(metadata) if metadata else None
    except (msgspec.MsgspecError, json.JSONDecodeError):
        return None


def committed_offsets(ticks: Path) -> Offsets:
    """Return the next offset that the lake needs, by Kafka partition; empty before the first batch."""
    table = open_table(ticks)
    record = newest_record(table) if table else None
    return {partition: offsets.end for partition, offsets in record.offsets.items()} if record else {}


def row_count(folder: Path) -> int:
    """Count the rows of a table by the statistics in its log."""
    table = open_table(folder)
    if table is None:
        return 0
    return sum(table.get_add_actions(flatten=True).column("num_records").to_pylist())
