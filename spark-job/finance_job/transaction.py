"""Commit to a table's log; whoever stores a batch, repairs, redrives or maintains does it here.

delta-rs commits, in milliseconds and without a JVM (docs/adr/0013). An entry of the log appears whole or not at all, and only
if nobody has written that version before: it is written beside the log and then linked to its name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.transaction import AddAction, RemoveAction

from finance_job.tables import PARTITIONS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from finance_job.data_file import DataFile
    from finance_lake.state.record import CommitRecord

# No checkpoint of the log and no clean-up of it in the time of a batch: they are maintenance's, between batches.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


class LiveFile(NamedTuple):
    """A data file that the table's log names."""

    path: str
    size: int
    partition_values: dict[str, str]
    rows: int


def live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the table's data files."""
    rows = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    return [LiveFile(row["path"], row["size_bytes"], _partition_values(row), row["num_records"]) for row in rows]


def commit(
    table: DeltaTable,
    name: str,
    added: Sequence[DataFile],
    removed: Sequence[LiveFile],
    record: CommitRecord,
) -> int:
    """Commit a change under the record's own transaction (`<query>:<table>`, batch); return the table's new version."""
    properties = CommitProperties(
        custom_metadata={"userMetadata": record.encode()},
        app_transactions=[Transaction(f"{record.query}:{name}", record.batch)],
    )
    return _write_entry(table, name, _actions(added, removed, data_change=True), properties)


def exchange(table: DeltaTable, name: str, added: Sequence[DataFile], removed: Sequence[LiveFile], why: str) -> None:
    """Commit other files with the same rows. It says so to readers, and carries no record: the newest one still holds."""
    properties = CommitProperties(custom_metadata={"maintenance": why})
    _write_entry(table, name, _actions(added, removed, data_change=False), properties)


def sum_up(folder: Path, version: int) -> None:
    """Write a checkpoint of the log as of a version, and remove the entries before it that are past the table's retention."""
    table = DeltaTable(str(folder), version=version)
    table.create_checkpoint()
    table.cleanup_metadata()


def summed_up(folder: Path) -> int:
    """Tell the version of the log's newest checkpoint; 0 before the first."""
    try:
        pointer = (folder / "_delta_log" / "_last_checkpoint").read_bytes()
    except FileNotFoundError:
        return 0
    return int(msgspec.json.decode(pointer)["version"])


def _write_entry(table: DeltaTable, name: str, actions: list[AddAction | RemoveAction], properties: CommitProperties) -> int:
    table.create_write_transaction(
        actions,
        "append",
        table.schema(),
        PARTITIONS[name],
        commit_properties=properties,
        post_commithook_properties=NO_HOOKS,
    )
    table.update_incremental()
    return int(table.version())


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
