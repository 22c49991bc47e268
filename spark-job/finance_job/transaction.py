"""Read live files from a table's log, and build the actions of a commit. `writer` makes the commits.

delta-rs commits in milliseconds and without a JVM (docs/adr/0013). A log entry appears whole or not at all, and only if its
version does not exist yet: it is written beside the log and then hard-linked to its name.
"""

from __future__ import annotations

import time
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
from deltalake import DeltaTable, PostCommitHookProperties
from deltalake.transaction import AddAction, RemoveAction

from finance_storage import digest, place
from finance_storage.data_file import rows_of
from finance_storage.files import LogError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deltalake import CommitProperties

    from finance_kafka.offsets import OffsetRange
    from finance_storage.data_file import WrittenFile
    from finance_storage.place import Place

# No log checkpoint and no clean-up during a batch: maintenance does both between batches.
NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)

COLUMNS = {"path", "size_bytes", "num_records"}


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
        rows: number of rows added, by Kafka partition; negative for rows removed
        digest: of those rows, modulo 2^64; negative for rows removed
        offsets: the range of the topic that it covers, by Kafka partition; empty if rows only move
        holes: number of these offsets for which Kafka had no record

    """

    added: Sequence[WrittenFile] = ()
    removed: Sequence[LiveFile] = ()
    rows: Mapping[int, int] = {}
    digest: int = 0
    offsets: Mapping[int, OffsetRange] = {}
    holes: int = 0

    @classmethod
    def of(cls, files: Sequence[WrittenFile], offsets: Mapping[int, OffsetRange] | None = None, holes: int = 0) -> Change:
        """Return the change that adds files."""
        return cls(files, (), rows_of(files), digest.add([file.digest for file in files]), offsets or {}, holes)


def live_files(table: DeltaTable) -> list[LiveFile]:
    """Return the table's data files. Raises LogError if the log has impossible values."""
    adds = pa.table(table.get_add_actions(flatten=True))
    columns = [name for name in adds.column_names if name in COLUMNS or name.startswith("partition.")]
    try:
        rows = adds.select(columns).to_pylist()
    except (OverflowError, ValueError) as error:
        raise LogError(f"the log of {table.table_uri} has impossible values for a data file ({error})") from None
    return [LiveFile(row["path"], row["size_bytes"], _partition_values(row), row["num_records"]) for row in rows]


def actions(
    added: Sequence[WrittenFile], removed: Sequence[LiveFile], *, data_change: bool = True
) -> list[AddAction | RemoveAction]:
    """Return the log actions that add and remove files; `data_change` is false if the rows stay the same."""
    adds = [_add(file, data_change=data_change) for file in added]
    return [*adds, *(_remove(file, data_change=data_change) for file in removed)]


def append(
    table: DeltaTable, partitions: Sequence[str], entries: list[AddAction | RemoveAction], properties: CommitProperties
) -> None:
    """Commit actions to a table that is partitioned by these columns. Raises deltalake's CommitFailedError."""
    table.create_write_transaction(
        entries,
        "append",
        table.schema(),
        list(partitions),
        commit_properties=properties,
        post_commithook_properties=NO_HOOKS,
    )
    table.update_incremental()


def still_final(until: date | None, change: Change) -> date | None:
    """Return until which day ticks stay sealed: a change to a sealed day opens it, and all later ones."""
    values = [file.partition_values for file in change.added] + [file.partition_values for file in change.removed]
    days = {partition["date"] for partition in values if "date" in partition}
    if until is None or not days:
        return until
    try:
        return min(until, *map(date.fromisoformat, days))
    except ValueError:  # rows that another tool has written, without a date
        return None


def write_log_checkpoint(folder: Place, version: int) -> None:
    """Write a log checkpoint as of a version, and remove earlier entries that are past the table's retention."""
    table = DeltaTable(place.uri(folder), version=version, storage_options=place.delta_options(folder))
    table.create_checkpoint()
    table.cleanup_metadata()


def last_log_checkpoint(folder: Place) -> int:
    """Return the version of the newest log checkpoint; 0 if there is none."""
    try:
        pointer = place.read(folder.parent, folder / "_delta_log" / "_last_checkpoint")
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
