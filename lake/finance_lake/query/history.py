"""The history of the table of ticks: what each version added, and its total rows."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_lake.query.snapshot import opened
from finance_storage import delta_log
from finance_storage.delta_table import live_rows

if TYPE_CHECKING:
    from finance_storage.delta_log import Entry
    from finance_storage.place import Place

SCHEMA = pa.schema(
    {
        "version": pa.int64(),
        "ts": pa.timestamp("us", tz="UTC"),
        "operation": pa.string(),
        "sequence": pa.int64(),
        "rows": pa.int64(),
        "total": pa.int64(),
        "files_added": pa.int64(),
        "files_removed": pa.int64(),
    }
)


def history(folder: Place, newest: int, limit: int | None) -> pa.Table:
    """Return the newest entries of a log as a table, newest first."""
    return pa.Table.from_pylist(versions(folder, newest, limit), SCHEMA)


def versions(folder: Place, newest: int, limit: int | None) -> list[dict[str, object]]:
    """Return the newest entries of a log as dictionaries, newest first. Avoids the import of pandas, see `values`."""
    rows: list[dict[str, object]] = []
    total = None
    for entry in reversed(list(islice(delta_log.entries(folder, newest), limit))):
        if total is None or _changes_rows(entry):
            total = total_rows(folder, entry)
        rows.append(_row(entry, total))
    return rows[::-1]


def total_rows(folder: Place, entry: Entry) -> int:
    """Return the rows of a table at an entry: from the job's commit metadata, or counted after another writer's commit."""
    changes = filter(_changes_rows, chain([entry], delta_log.entries(folder, entry.version - 1)))
    if (newest := next(changes, entry)).metadata:
        return newest.metadata.total.rows
    table = opened(folder, entry.version)
    return live_rows(table) if table else 0


def _changes_rows(entry: Entry) -> bool:
    """Return whether a commit may change the number of rows. Maintenance writes no commit metadata and changes no rows."""
    return bool(entry.metadata or entry.added or entry.deletes)


def _row(entry: Entry, total: int | None) -> dict[str, object]:
    metadata = entry.metadata
    return {
        "version": entry.version,
        "ts": entry.committed,
        "operation": entry.operation,
        "sequence": metadata.sequence if metadata else None,
        "rows": entry.rows,
        "total": total,
        "files_added": entry.files_added,
        "files_removed": entry.files_removed,
    }
