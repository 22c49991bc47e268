"""What goes into a table's log, and what its log says is live. `writer` alone commits.

delta-rs commits, in milliseconds and without a JVM (docs/adr/0013). An entry of the log appears whole or not at all, and only
if nobody has written that version before: it is written beside the log and then linked to its name.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, PostCommitHookProperties
from deltalake.transaction import AddAction, RemoveAction

from finance_storage import digest
from finance_storage.data_file import rows_of
from finance_storage.files import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from finance_kafka.offsets import OffsetRange
    from finance_storage.data_file import WrittenFile

# No checkpoint of the log and no clean-up of it in the time of a batch: they are maintenance's, between batches.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)

TOLD = {"path", "size_bytes", "num_records"}


class LiveFile(NamedTuple):
    """A data file that the table's log names."""

    path: str
    size: int
    partition_values: dict[str, str]
    rows: int


class Change(NamedTuple):
    """What a commit does to a table.

    Attributes:
        added, removed: data files
        rows: rows that the table gains, by Kafka partition; negative for those that it loses
        digest: of those rows, modulo 2^64; that of rows that leave is negative
        offsets: what it covers of the topic, by Kafka partition; empty where rows only move
        holes: how many of these offsets Kafka had no record for

    """

    added: Sequence[WrittenFile] = ()
    removed: Sequence[LiveFile] = ()
    rows: Mapping[int, int] = {}
    digest: int = 0
    offsets: Mapping[int, OffsetRange] = {}
    holes: int = 0

    @classmethod
    def of(cls, files: Sequence[WrittenFile], offsets: Mapping[int, OffsetRange] | None = None, holes: int = 0) -> Change:
        """Give the change that adds files."""
        return cls(files, (), rows_of(files), digest.add([file.digest for file in files]), offsets or {}, holes)


def live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the table's data files. Raises LogError for what the log cannot mean."""
    told = pa.table(table.get_add_actions(flatten=True))
    wanted = [name for name in told.column_names if name in TOLD or name.startswith("partition.")]
    try:
        rows = told.select(wanted).to_pylist()
    except (OverflowError, ValueError) as error:
        raise LogError(f"the log of {table.table_uri} says of a data file what cannot be ({error})") from None
    return [LiveFile(row["path"], row["size_bytes"], _partition_values(row), row["num_records"]) for row in rows]


def actions(
    added: Sequence[WrittenFile], removed: Sequence[LiveFile], *, data_change: bool = True
) -> list[AddAction | RemoveAction]:
    """Give the log's actions that make files live, and end the life of others; `data_change` is false for equal rows."""
    adds = [_add(file, data_change=data_change) for file in added]
    return [*adds, *(_remove(file, data_change=data_change) for file in removed)]


def write_log_checkpoint(folder: Path, version: int) -> None:
    """Write a checkpoint of the log as of a version, and remove the entries before it that are past the table's retention."""
    table = DeltaTable(str(folder), version=version)
    table.create_checkpoint()
    table.cleanup_metadata()


def last_log_checkpoint(folder: Path) -> int:
    """Return the version of the log's newest checkpoint; 0 before the first."""
    try:
        pointer = (folder / "_delta_log" / "_last_checkpoint").read_bytes()
    except FileNotFoundError:
        return 0
    return int(msgspec.json.decode(pointer)["version"])


def _add(file: WrittenFile, *, data_change: bool) -> AddAction:
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
