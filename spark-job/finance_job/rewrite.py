"""Change a table without a JVM, as recover, redrive and maintenance do, under the job's lock or between two batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, PostCommitHookProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction

from finance_job.columns import FIELDS
from finance_job.data_file import DataFile, rows_by_partition, write_data_file
from finance_job.tables import PARTITIONS
from finance_lake.state import digest, spans

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_lake.state.record import CommitRecord
    from finance_lake.state.spans import Spans

# No checkpoint of the log and no clean-up of it: they are the stream's, whose commits carry a record that outlives what goes.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class LiveFile(NamedTuple):
    """A data file that the table's log names."""

    path: str
    size: int
    partition_values: dict[str, str]
    rows: int


class Change(NamedTuple):
    """Files to put in and to take out, and what rows that takes out of the table."""

    added: list[DataFile]
    removed: list[LiveFile]
    rows: dict[int, int]
    digest: int


def live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the table's data files."""
    rows = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [LiveFile(row["path"], row["size_bytes"], _partition_values(row), row["num_records"]) for row in rows]


def read(name: str, folder: Path, file: LiveFile) -> pa.Table:
    """Read a data file of a table whole; raises OSError if a page does not fit its checksum, ArrowInvalid for other columns."""
    rows = pq.ParquetFile(folder / file.path, page_checksum_verification=True).read()
    return rows.select(FIELDS[name].names).cast(FIELDS[name])  # other writers of Parquet lay texts out otherwise


def without(table: DeltaTable, name: str, folder: Path, gone: Spans, broken: Sequence[LiveFile] = ()) -> Change:
    """Rewrite the files that hold these coordinates, so that they do not; broken files leave without a look into them."""
    added, rows, of_rows = [], dict[int, int](), []
    removed = list(broken)
    for file in live_files(table) if gone else []:
        if file in broken:
            continue
        content = read(name, folder, file)
        mask = inside(gone, content)
        if not mask.any():
            continue
        removed.append(file)
        taken = content.filter(pa.array(mask))
        of_rows.append(digest.digest_of(taken))
        for partition, count in rows_by_partition(taken).items():
            rows[partition] = rows.get(partition, 0) + count
        if not mask.all():
            added.append(write_data_file(content.filter(pa.array(~mask)), name, str(folder), file.partition_values))
    return Change(added, removed, rows, digest.add(of_rows))


def inside(coordinates: Spans, rows: pa.Table) -> spans.Mask:
    """Tell for each row whether its coordinates are among these."""
    columns = (rows.column(name).to_numpy().astype(np.int64) for name in ("kafka_partition", "kafka_offset"))
    return spans.inside(coordinates, *columns)


def commit(
    table: DeltaTable,
    name: str,
    added: Sequence[DataFile],
    removed: Sequence[LiveFile],
    record: CommitRecord,
) -> None:
    """Commit a change under the record's own transaction (`<query>:<table>`, batch)."""
    properties = CommitProperties(
        custom_metadata={"userMetadata": record.encode()},
        app_transactions=[Transaction(f"{record.query}:{name}", record.batch)],
    )
    _write_entry(table, name, _actions(added, removed, data_change=True), properties)


def exchange(table: DeltaTable, name: str, added: Sequence[DataFile], removed: Sequence[LiveFile], why: str) -> None:
    """Commit other files with the same rows. It says so to readers, and carries no record: the newest one still holds."""
    properties = CommitProperties(custom_metadata={"maintenance": why})
    _write_entry(table, name, _actions(added, removed, data_change=False), properties)


def _write_entry(table: DeltaTable, name: str, actions: list[AddAction | RemoveAction], properties: CommitProperties) -> None:
    table.create_write_transaction(
        actions,
        "append",
        table.schema(),
        PARTITIONS[name],
        commit_properties=properties,
        post_commithook_properties=NO_HOOKS,
    )
    table.update_incremental()


def _actions(added: Sequence[DataFile], removed: Sequence[LiveFile], *, data_change: bool) -> list[AddAction | RemoveAction]:
    adds = [_add(file, data_change=data_change) for file in added]
    return [*adds, *(_remove(file, data_change=data_change) for file in removed)]


def _add(file: DataFile, *, data_change: bool) -> AddAction:
    statistics = msgspec.json.encode(file.statistics).decode()
    return AddAction(
        path=file.path,
        size=file.size,
        partition_values=file.partition_values,
        modification_time=_now_ms(),
        data_change=data_change,
        stats=statistics,
    )


def _remove(file: LiveFile, *, data_change: bool) -> RemoveAction:
    return RemoveAction(
        path=file.path,
        size=file.size,
        partition_values=dict(file.partition_values),
        deletion_timestamp=_now_ms(),
        data_change=data_change,
    )


def _partition_values(row: dict[str, Any]) -> dict[str, str]:
    return {name.removeprefix("partition."): str(value) for name, value in row.items() if name.startswith("partition.")}


def _now_ms() -> int:
    return int(time.time() * 1000)
