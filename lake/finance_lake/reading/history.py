"""The history of the table of ticks: what each version added, and how much there was then."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.reading import log

if TYPE_CHECKING:
    from pathlib import Path

    from finance_lake.reading.log import Entry

SCHEMA = pa.schema(
    {
        "version": pa.int64(),
        "ts": pa.timestamp("us", tz="UTC"),
        "operation": pa.string(),
        "batch": pa.int64(),
        "rows": pa.int64(),
        "total": pa.int64(),
        "files_added": pa.int64(),
        "files_removed": pa.int64(),
    }
)


def history(folder: Path, newest: int, limit: int | None) -> pa.Table:
    """Read the newest entries of a log, the newest first."""
    rows: list[dict[str, object]] = []
    total = None
    for entry in reversed(list(islice(log.entries(folder, newest), limit))):
        # Maintenance writes no record and changes no row; what another writer has changed is not known.
        total = entry.record.total.rows if entry.record else None if entry.added or entry.deletes else total
        rows.append(_row(entry, total))
    return pa.Table.from_pylist(rows[::-1], SCHEMA)


def _row(entry: Entry, total: int | None) -> dict[str, object]:
    record = entry.record
    return {
        "version": entry.version,
        "ts": entry.committed,
        "operation": entry.operation,
        "batch": record.batch if record else None,
        "rows": entry.rows,
        "total": total,
        "files_added": entry.files_added,
        "files_removed": entry.files_removed,
    }
