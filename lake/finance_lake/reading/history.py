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
    found = list(islice(log.entries(folder, newest), limit))
    return pa.Table.from_pylist([_row(entry) for entry in found], SCHEMA)


def _row(entry: Entry) -> dict[str, object]:
    record = entry.record
    return {
        "version": entry.version,
        "ts": entry.committed,
        "operation": entry.operation,
        "batch": record.batch if record else None,
        "rows": entry.rows,
        "total": record.total.rows if record else None,
        "files_added": entry.files_added,
        "files_removed": entry.files_removed,
    }
