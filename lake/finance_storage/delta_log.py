"""Read the entries of a table's log one by one: when each was committed, by which operation, and which files it added.

deltalake's own `history` counts from the newest commit whatever version is open, and does not report files.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import msgspec

from finance_storage import place
from finance_storage.bucket_cache import path_for_duckdb
from finance_storage.commit_metadata import metadata_in
from finance_storage.errors import RequestError, UnreadableError
from finance_storage.files import LogError, entry_path, literal, read_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.place import Place

T = TypeVar("T")

ENTRY = re.compile(r"(\d{20})\.json")
# Parts of a data file's path that DuckDB would read as a pattern, or as a column that is not a partition column.
READ_INTO = re.compile(r"[*?\[\\\x00-\x1f\x7f\ud800-\udfff]|(?:^|/)(?!date=)[^/]*=")
OUTSIDE = re.compile(r"^/|://|(?:^|/)\.\.(?:/|$)")

# No file has more rows. A larger number in an untrusted log could overflow a 64-bit sum.
MAX_ROWS = 2**40


class _Add(msgspec.Struct):
    path: str
    dataChange: bool = True  # noqa: N815 (the protocol's name)
    stats: str | None = None


class _Remove(msgspec.Struct):
    path: str = ""
    dataChange: bool = True  # noqa: N815


class _Info(msgspec.Struct):
    timestamp: int | None = None
    operation: str = ""
    maintenance: str | None = None  # set by the job: merged or sorted
    userMetadata: str | None = None  # noqa: N815


class _Line(msgspec.Struct):
    add: _Add | None = None
    remove: _Remove | None = None
    commitInfo: _Info | None = None  # noqa: N815


class _Stats(msgspec.Struct):
    numRecords: Annotated[int, msgspec.Meta(ge=0, lt=MAX_ROWS)] = 0  # noqa: N815


class Entry(NamedTuple):
    """One commit.

    Attributes:
        version: table version after the commit
        committed: time of the commit, UTC
        operation: name of the operation, as its writer states it
        metadata: the job's commit metadata; None for maintenance and other writers
        added: absolute paths of data files with new rows; files that replace others are not included
        rows: number of rows in these files
        files_added: number of data files added, with new rows or not
        files_removed: number of data files removed
        deletes: whether rows were deleted with them

    """

    version: int
    committed: datetime
    operation: str
    metadata: CommitMetadata | None
    added: tuple[str, ...]
    rows: int
    files_added: int
    files_removed: int
    deletes: bool


def entry(folder: Place, version: int) -> Entry | None:
    """Read the entry of a version; None if the log does not have it (clean-up removes old ones). Raises UnreadableError."""
    try:
        return _decoded(folder, version, lambda lines: _entry(folder, version, lines))
    except FileNotFoundError:
        return None


def data_files(folder: Place, version: int) -> set[str]:
    """Return the data files that an entry adds or removes, by path relative to the folder.

    Raises FileNotFoundError, UnreadableError.
    """
    return _decoded(
        folder,
        version,
        lambda lines: {literal(change.path) for line in lines if (change := line.add or line.remove) and change.path},
    )


def _decoded(folder: Place, version: int, convert: Callable[[list[_Line]], T]) -> T:
    path = entry_path(folder, version)
    try:
        return convert(
            [msgspec.json.decode(line, type=_Line) for line in read_entry(folder, version).splitlines() if line.strip()]
        )
    except FileNotFoundError:
        raise
    except LogError as error:
        raise UnreadableError(f"{error}. `make verify` says what is wrong with the lake.") from None
    except (ValueError, OverflowError, OSError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UnreadableError(f"{path} is damaged ({error}). `make verify` says what is wrong with the lake.") from None


def _entry(folder: Place, version: int, lines: list[_Line]) -> Entry:
    info = next((line.commitInfo for line in lines if line.commitInfo), _Info())
    every_add = [line.add for line in lines if line.add]
    adds = [add for add in every_add if add.dataChange]
    removes = [line.remove for line in lines if line.remove]
    return Entry(
        version=version,
        committed=datetime.fromtimestamp(_modified(folder, version) if info.timestamp is None else info.timestamp / 1000, UTC),
        operation=info.maintenance or info.operation,
        metadata=metadata_in(info.userMetadata),
        added=tuple(inside(folder, [literal(add.path) for add in adds])),
        rows=sum(msgspec.json.decode(add.stats, type=_Stats).numRecords for add in adds if add.stats),
        files_added=len(every_add),
        files_removed=len(removes),
        deletes=any(remove.dataChange for remove in removes),
    )


def _modified(folder: Place, version: int) -> float:
    return place.status_of(folder.parent, entry_path(folder, version)).st_mtime


def entries(folder: Place, newest: int, oldest: int = 0) -> Iterator[Entry]:
    """Yield the entries from version `newest` down to `oldest`, as far back as the log goes."""
    for version in range(newest, oldest - 1, -1):
        if (commit := entry(folder, version)) is None:
            return
        yield commit


def version_at(folder: Place, newest: int, at: datetime) -> int:
    """Return the newest version committed at or before a time. Raises RequestError if the log begins later."""
    version = newest_that(folder, newest, lambda entry: entry.committed <= at)
    if version is not None:
        return version
    begin = oldest(folder, newest)
    first = entry(folder, begin)
    when = f"{first.committed:%Y-%m-%dT%H:%M:%S}Z" if first else "later"
    raise RequestError(
        f"The table has no version as of {at:%Y-%m-%dT%H:%M:%S}Z: its log begins with version {begin} at {when}."
    )


def newest_that(folder: Place, newest: int, holds: Callable[[Entry], bool]) -> int | None:
    """Return the newest version whose entry `holds`, by binary search; None if none does.

    Requires that `holds` is true for all entries up to some version and false for all later ones.
    """
    begin = oldest(folder, newest)
    before, after = begin - 1, newest + 1
    while after - before > 1:
        middle = (before + after) // 2
        if (commit := entry(folder, middle)) and not holds(commit):
            after = middle
        else:
            before = middle
    return before if before >= begin else None


def has(folder: Place, version: int) -> bool:
    """Whether the log has the entry of a version. Costs one `stat`, however long the log is."""
    return place.exists(entry_path(folder, version))


def oldest(folder: Place, newest: int) -> int:
    """Return the oldest version that the log still has an entry for; no earlier one can be opened. Lists the whole log."""
    return min(versions(folder), default=newest)


def versions(folder: Place) -> Iterator[int]:
    """Yield the versions that the log has entries for, in no particular order."""
    return (int(match[1]) for name in place.names(folder / "_delta_log") if (match := ENTRY.fullmatch(name)))


def inside(folder: Place, names: Sequence[str]) -> list[str]:
    """Return the absolute paths of data files that the log names, safe to pass to every engine as literal paths.

    Raises UnreadableError if one leads out of the folder, is not a regular file, or has characters that an engine would
    interpret. Missing files are not checked here: the engine that reads one reports it.
    """
    for name in names:
        if OUTSIDE.search(name):
            raise UnreadableError(f"The log of {folder} names {name!a}, a file outside of the table: it is not read.")
        if not name or READ_INTO.search(name):
            raise UnreadableError(f"The log of {folder} names {name!a}, which is not a valid data file name: it is not read.")
    try:
        place.require_regular(folder.parent, folder, names)
    except OSError as error:
        raise UnreadableError(f"{error}. `make verify` says what is wrong with the lake.") from None
    table = path_for_duckdb(folder)
    return [f"{table}/{name}" for name in names]


class LogTail:
    """Follows a table's log from version to version. Each `poll` costs one `stat`, however long the log is."""

    def __init__(self, folder: Place) -> None:
        """Read nothing yet."""
        self._folder = folder
        self.version: int | None = None

    def poll(self) -> int | None:
        """Return the newest version of the table; None if there is no table."""
        if self.version is None or not self._has(self.version):  # the first call, or the lake was deleted
            self.version = self._newest()
        elif self._has(self.version + 1):
            while self._has(self.version + 1):
                self.version += 1
        return self.version

    def _has(self, version: int) -> bool:
        return has(self._folder, version)

    def _newest(self) -> int | None:
        try:
            return max(versions(self._folder), default=None)
        except (FileNotFoundError, NotADirectoryError):
            return None
