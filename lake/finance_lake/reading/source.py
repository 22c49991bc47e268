"""A table as DuckDB reads it: the list of data files that Delta's log names, not a folder.

DuckDB's own Delta extension is no part of its wheel and would be fetched at run time. The list alone is right as long as a
table has neither deletion vectors nor mapped columns, which `snapshot` sees to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from finance_lake.reading.selection import quoted
from finance_lake.state.layout import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable

# What a table without any file has.
COLUMNS = {
    TICKS: {
        "symbol": "VARCHAR",
        "price": "DECIMAL(18, 8)",
        "size": "BIGINT",
        "ts_event": "TIMESTAMPTZ",
        "ts_event_nanos": "SMALLINT",
        "seq": "BIGINT",
        "source": "VARCHAR",
        "kafka_partition": "INTEGER",
        "kafka_offset": "BIGINT",
        "kafka_timestamp": "TIMESTAMPTZ",
        "ingested_at": "TIMESTAMPTZ",
        "date": "DATE",
    },
    QUARANTINE: {
        "kafka_partition": "INTEGER",
        "kafka_offset": "BIGINT",
        "kafka_timestamp": "TIMESTAMPTZ",
        "key": "BLOB",
        "value": "BLOB",
        "value_length": "BIGINT",
        "value_sha256": "VARCHAR",
        "reason": "VARCHAR",
        "detail": "VARCHAR",
        "ingested_at": "TIMESTAMPTZ",
    },
}
# The order of the ticks of a symbol: by when they happened, and where they are in the topic if that is one moment.
# A tick that names no moment of its own has no nanoseconds either.
ORDER = ("ts_event", "coalesce(ts_event_nanos, 0)", "kafka_partition", "kafka_offset")


def source(table: str, paths: Iterable[str], *, with_file: bool = False) -> str:
    """Give the SQL of a table's rows in these files; `with_file` adds the column `filename`."""
    columns = COLUMNS[table]
    listed = ", ".join(map(quoted, paths))
    if not listed:
        nothing = columns | ({"filename": "VARCHAR"} if with_file else {})
        return f"(SELECT {', '.join(f'NULL::{kind} AS {name}' for name, kind in nothing.items())} WHERE false)"
    hive = ", hive_partitioning = true, hive_types = {'date': DATE}" if "date" in columns else ", hive_partitioning = false"
    if with_file:
        return f"(SELECT * EXCLUDE (filename), filename FROM read_parquet([{listed}]{hive}, filename = true))"
    return f"read_parquet([{listed}]{hive})"
