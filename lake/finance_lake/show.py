"""Show the table: `python -m finance_lake.show` (`make show`) prints its count, its version and its newest rows."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from finance_lake.state.layout import Layout
from finance_lake.state.table import add_actions, open_table, row_count

if TYPE_CHECKING:
    from deltalake import DeltaTable

NEWEST = 10
WIDTH = 140
COLUMNS = ("symbol", "price", "size", "ts_event", "kafka_partition", "kafka_offset", "kafka_timestamp")


def newest_rows(table: DeltaTable, count: int) -> list[dict[str, Any]]:
    """Return the rows that arrived last, newest first. Opens only as many files as it needs to be sure."""
    files = add_actions(table).sort_by([("max.kafka_timestamp", "descending")]).to_pylist()
    rows: list[dict[str, Any]] = []
    for file in files:
        if len(rows) == count and file["max.kafka_timestamp"] < rows[-1]["kafka_timestamp"]:
            break
        path = str(Path(table.table_uri.removeprefix("file://")) / file["path"])
        rows += pq.ParquetFile(path).read(columns=list(COLUMNS)).to_pylist()
        rows = sorted(rows, key=lambda row: (row["kafka_timestamp"], row["kafka_offset"]), reverse=True)[:count]
    return rows


def as_text(rows: list[dict[str, Any]]) -> Table:
    """Lay rows out for a terminal."""
    text = Table(*COLUMNS, box=None)
    for row in rows:
        text.add_row(*(_cell(row[name]) for name in COLUMNS))
    return text


def _cell(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return ""
    return value.isoformat(timespec="milliseconds") if hasattr(value, "isoformat") else f"{value}"


def main() -> int:
    """Print to standard output; 1 if there is no table yet."""
    layout = Layout(Path(os.environ.get("DATA_DIR") or "data"))
    table = open_table(layout.ticks)
    if table is None:
        sys.stderr.write(f"There is no table at {layout.ticks} yet. `make up` or `make local` fills it.\n")
        return 1
    console = Console()
    console.width = max(console.width, WIDTH)  # a pipe has none of its own, and half a price is no price
    console.print(as_text(newest_rows(table, NEWEST)))
    print(
        f"{row_count(layout.ticks)} rows, {row_count(layout.quarantine)} quarantined, "
        f"version {table.version()} at {layout.ticks}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
