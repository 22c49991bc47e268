"""Read a table's log with deltalake while the job writes: its position, the totals it must have, and its live files."""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from finance_storage.bucket import BucketPath
from finance_storage.commit_metadata import metadata_in
from finance_storage.errors import StoreUnavailableError, first_line
from finance_storage.files import LogError, entry_path, read_entry, require_readable_log
from finance_storage.place import delta_options, uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.place import Place

# Other writers truncate the statistics of times to milliseconds, even of a maximum.
TIME_STEP = timedelta(milliseconds=1)


class Commit(NamedTuple):
    """One of the job's commits."""

    version: int
    metadata: CommitMetadata


def open_table(folder: Place, version: int | None = None) -> DeltaTable | None:
    """Open a table at a version, or the newest one; None if it does not exist. Raises deltalake's DeltaError, or LogError."""
    require_readable_log(folder, version)
    try:
        return DeltaTable(uri(folder), version=version, storage_options=delta_options(folder))
    except TableNotFoundError:
        return None
    except OSError as error:
        if isinstance(folder, BucketPath):
            raise StoreUnavailableError(f"The object store has failed at {folder}: {first_line(error)}.") from None
        raise


def commits(folder: Place, version: int) -> Iterator[Commit]:
    """Yield the job's commits up to a version of the table in a folder, newest first, as far back as the log has entries.

    Maintenance commits carry no metadata and are skipped. The log files are read directly, because deltalake's `history` begins
    at the newest commit, whatever version is open, and numbers its entries downward from the open version. Raises LogError.
    """
    for number in count(version, -1):
        try:
            metadata = metadata_in(_user_metadata(read_entry(folder, number)))
        except FileNotFoundError:
            return
        except RecursionError:
            raise LogError(f"{entry_path(folder, number)} is nested too deeply") from None
        if metadata:
            yield Commit(number, metadata)


def _user_metadata(entry: bytes) -> str | None:
    commit_info = next((line for line in entry.splitlines() if line.startswith(b'{"commitInfo"')), b"{}")
    try:
        metadata = msgspec.json.decode(commit_info).get("commitInfo", {}).get("userMetadata")
    except (msgspec.DecodeError, AttributeError):
        return None
    return metadata if isinstance(metadata, str) else None


def newest_metadata(table: DeltaTable, folder: Place) -> CommitMetadata | None:
    """Return the metadata of the job's newest commit to the table in a folder; None before the first."""
    newest = next(commits(folder, table.version()), None)
    return newest.metadata if newest else None


def committed_offsets(ticks: Place) -> Offsets:
    """Return the next offset that the lake needs, by Kafka partition; empty before the first batch."""
    table = open_table(ticks)
    metadata = newest_metadata(table, ticks) if table else None
    return metadata.position if metadata else {}


def add_actions(table: DeltaTable) -> pa.Table:
    """Return the log's entry for each live data file, with statistics."""
    # `pyarrow.table` would do too, but it imports pandas to inspect its argument, which takes a third of a second.
    return pa.RecordBatchReader.from_stream(table.get_add_actions(flatten=True)).read_all()


def live_rows(table: DeltaTable) -> int:
    """Count the rows of a table from the statistics in its log; files without statistics count as 0."""
    return sum(rows or 0 for rows in add_actions(table).column("num_records").to_pylist())


def row_count(folder: Place) -> int:
    """Count the rows of the table in a folder; 0 if it does not exist."""
    table = open_table(folder)
    return live_rows(table) if table else 0
