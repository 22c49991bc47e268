"""The tables as of one version: their data files, and which of them a selection needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from deltalake.exceptions import DeltaError

from finance_lake.query import values
from finance_lake.query.relations import source, sql_columns
from finance_lake.query.times import parse_as_of
from finance_storage import delta_log
from finance_storage.bucket_cache import all_exist
from finance_storage.delta_table import TIME_STEP, add_actions, newest_metadata, open_table
from finance_storage.errors import FILL, NoLakeError, RequestError, UnreadableError, first_line
from finance_storage.files import literal
from finance_storage.paths import QUARANTINE, TICKS
from finance_storage.schemas import later_columns

if TYPE_CHECKING:
    from datetime import date

    from deltalake import DeltaTable

    from finance_lake.query.relations import Columns
    from finance_lake.query.selection import Selection
    from finance_lake.query.times import AsOf
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.paths import LakePaths
    from finance_storage.place import Place

READER_VERSION = 1
EVER = datetime.max.replace(tzinfo=UTC)
STATISTICS = ("path", "num_records", "min.symbol", "max.symbol", "min.ts_event", "max.ts_event", "max.kafka_timestamp")
TOO_OLD = "The log keeps one week. `financelake history` lists the versions that can be read."


class SnapshotFile(NamedTuple):
    """A live data file with its statistics from the log; None if not known.

    `folder` is the table's folder and `name` the path below it. `path` is the path for DuckDB.
    """

    folder: Place
    name: str
    path: str
    rows: int
    first_symbol: str | None
    last_symbol: str | None
    first_event: datetime | None
    last_event: datetime | None
    last_arrival: datetime | None

    def may_hold(self, selection: Selection) -> bool:
        """Return whether the file can contain a row of the selection."""
        named = not selection.symbols or any(self._spans(symbol) for symbol in selection.symbols)
        after = not (selection.start and self.last_event) or self.last_event + TIME_STEP >= selection.start
        before = not (selection.end and self.first_event) or self.first_event < selection.end
        return named and after and before

    def _spans(self, symbol: str) -> bool:
        return (self.first_symbol or "") <= symbol and (self.last_symbol is None or symbol <= self.last_symbol)


@dataclass(frozen=True)
class Snapshot:
    """Both tables at one point in time."""

    paths: LakePaths
    table: DeltaTable

    @property
    def version(self) -> int:
        """The version of the table of ticks."""
        return self.table.version()

    @cached_property
    def ticks(self) -> tuple[SnapshotFile, ...]:
        """The data files of the ticks."""
        return data_files(self.table, self.paths.ticks)

    @cached_property
    def quarantine(self) -> tuple[SnapshotFile, ...]:
        """The data files of the quarantine at the version that matches the ticks. Raises RequestError if it is too old."""
        return data_files(self._quarantine, self.paths.quarantine) if self._quarantine else ()

    @cached_property
    def later_ticks(self) -> Columns:
        """The columns of the ticks that not every data file has, as needed by `source`."""
        return _later(TICKS, self.table)

    @cached_property
    def later_quarantine(self) -> Columns:
        """The same for the quarantine. Raises RequestError as `quarantine` does."""
        return _later(QUARANTINE, self._quarantine) if self._quarantine else {}

    @cached_property
    def commit_metadata(self) -> CommitMetadata | None:
        """The metadata of the job's newest commit to the table of ticks. Raises UnreadableError."""
        try:
            return newest_metadata(self.table, self.paths.ticks)
        except DeltaError as error:
            raise UnreadableError(f"{first_line(error)}. `make verify` shows what is wrong with the lake.") from None

    @property
    def finalized_until(self) -> date | None:
        """The day before which all days are sealed; None if no day is. Raises UnreadableError."""
        return self.commit_metadata.finalized_until if self.commit_metadata else None

    @property
    def rows(self) -> int:
        """The number of ticks."""
        return sum(file.rows for file in self.ticks)

    @cached_property
    def span(self) -> tuple[datetime, datetime] | None:
        """The event times of the first and the last tick, from the log; None without ticks, or if a file has no statistics.

        The log rounds down to milliseconds, so the last tick may be up to a millisecond later.
        """
        files = [file for file in self.ticks if file.rows]
        first, last = [file.first_event for file in files], [file.last_event for file in files]
        known = files and None not in first and None not in last
        return (min(filter(None, first)), max(filter(None, last))) if known else None

    @property
    def quarantined(self) -> int:
        """The number of quarantined records. Raises RequestError as `quarantine` does."""
        return sum(file.rows for file in self.quarantine)

    def files_of(self, selection: Selection) -> list[str]:
        """Return absolute paths of the data files that may contain ticks of a selection."""
        return [file.path for file in self.ticks if file.may_hold(selection)]

    def source(self, selection: Selection) -> str:
        """Return the SQL of a selection's ticks."""
        return f"(SELECT * FROM {source(TICKS, self.files_of(selection), self.later_ticks)} WHERE {selection.where})"

    @cached_property
    def _quarantine(self) -> DeltaTable | None:
        table = opened(self.paths.quarantine)
        if table is None:
            return None
        folder, newest = self.paths.quarantine, table.version()
        position = metadata.position if (metadata := self.commit_metadata) else {}

        def is_known(version: int) -> bool:
            # A batch is committed to the quarantine first: commits up to the ticks' position existed when the ticks did.
            committed = next((entry.metadata for entry in delta_log.entries(folder, version) if entry.metadata), None)
            return not committed or all(end <= position.get(number, 0) for number, end in committed.position.items())

        if is_known(newest):
            return table
        version = delta_log.newest_that(folder, newest, lambda entry: is_known(entry.version))
        if version is None:
            raise RequestError(f"The quarantine as of version {self.version} of the ticks is no longer available. {TOO_OLD}")
        return opened(folder, version)


def open_snapshot(paths: LakePaths, as_of: AsOf | None = None) -> Snapshot:
    """Return a snapshot of the tables, the newest or as of a version or time.

    Raises NoLakeError, RequestError, UnreadableError.
    """
    table = opened(paths.ticks)
    if table is None:
        raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
    if as_of is None:
        return Snapshot(paths, table)
    target = parse_as_of(as_of)
    version = delta_log.version_at(paths.ticks, table.version(), target) if isinstance(target, datetime) else target
    if version > table.version():
        raise RequestError(
            f"There is no version {version} yet: the newest is {table.version()}. `financelake history` lists them."
        )
    if version == table.version():
        return Snapshot(paths, table)
    if not delta_log.has(paths.ticks, version) and version < (oldest := delta_log.oldest(paths.ticks, table.version())):
        raise RequestError(f"Version {version} is no longer available: the log begins with version {oldest}. {TOO_OLD}")
    earlier = opened(paths.ticks, version)
    if earlier is None:
        raise NoLakeError(f"The lake at {paths.root} was deleted: {FILL}")
    snapshot = Snapshot(paths, earlier)
    if not all_exist(file.path for file in snapshot.ticks):
        raise RequestError(
            f"Version {version} can no longer be read: maintenance has replaced its data files and removed them after a week. "
            "`financelake history` lists newer versions."
        )
    return snapshot


def opened(folder: Place, version: int | None = None) -> DeltaTable | None:
    """Open a table, the newest version or as of `version`; None if there is none. Raises UnreadableError."""
    try:
        table = open_table(folder, version)
    except DeltaError as error:
        at = "" if version is None else f" as of version {version}"
        raise UnreadableError(f"{folder} cannot be read{at}: {first_line(error)}. `make verify` shows details.") from None
    if table and table.protocol().min_reader_version > READER_VERSION:
        raise UnreadableError(f"{folder} was switched to a newer Delta protocol, which hides rows from this reader.")
    return table


def _later(name: str, table: DeltaTable) -> Columns:
    return sql_columns(later_columns(name, pa.schema(table.schema().to_arrow())))


def data_files(table: DeltaTable, folder: Place) -> tuple[SnapshotFile, ...]:
    """Return the live data files of a table. Raises UnreadableError."""
    actions = add_actions(table)
    try:
        rows = values.rows(actions.select([name for name in STATISTICS if name in actions.column_names]))
    except RequestError:
        raise UnreadableError(
            f"The log of {folder} has impossible statistics of a data file. `make verify` shows details."
        ) from None
    names = [literal(row["path"]) for row in rows]
    return tuple(
        SnapshotFile(
            folder=folder,
            name=name,
            path=path,
            rows=row["num_records"] or 0,
            first_symbol=row.get("min.symbol"),
            last_symbol=row.get("max.symbol"),
            first_event=row.get("min.ts_event"),
            last_event=row.get("max.ts_event"),
            last_arrival=row.get("max.kafka_timestamp"),
        )
        for row, name, path in zip(rows, names, delta_log.inside(folder, names), strict=True)
    )
