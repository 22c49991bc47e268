"""The entries of a table's log, read one by one: when each was committed, by what, and which files it added.

deltalake's own `history` counts from the newest commit whatever version is open, and knows nothing of files.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec

from finance_role import beneath
from finance_role.literal_paths import for_duckdb
from finance_storage.commit_metadata import metadata_in
from finance_storage.errors import RequestError, UnreadableError
from finance_storage.files import LogError, entry_path, literal, read_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from finance_storage.commit_metadata import CommitMetadata

ENTRY = re.compile(r"(\d{20})\.json")
# In the path of a data file DuckDB would read a pattern, or a column that is not a partition's.
READ_INTO = re.compile(r"[*?\[\\\x00-\x1f\x7f\ud800-\udfff]|(?:^|/)(?!date=)[^/]*=")
OUTSIDE = re.compile(r"^/|://|(?:^|/)\.\.(?:/|$)")

# No file has more; what a stranger's log says beyond would not add up in 64 bits.
MAX_ROWS = 2**40


class _Add(msgspec.Struct):
    path: str
    dataChange: bool = True  # noqa: N815 (the protocol's name)
    stats: str | None = None


class _Remove(msgspec.Struct):
    dataChange: bool = True  # noqa: N815


class _Info(msgspec.Struct):
    timestamp: int | None = None
    operation: str = ""
    maintenance: str | None = None  # the job's: merged or sorted
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
        version: of the table after it
        committed: when, UTC
        operation: as its writer calls it
        record: what the job says of it; None for maintenance and others
        added: absolute paths of data files with new rows; files that took the place of others are none of them
        rows: how many rows these have
        files_added: data files that joined the table, whatever they hold
        files_removed: data files that left the table
        deletes: whether rows left with them

    """

    version: int
    committed: datetime
    operation: str
    record: CommitMetadata | None
    added: tuple[str, ...]
    rows: int
    files_added: int
    files_removed: int
    deletes: bool


def entry(folder: Path, version: int) -> Entry | None:
    """Read the entry of a version; None if the log has none (clean-up removes old ones). Raises UnreadableError."""
    path = entry_path(folder, version)
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in read_entry(folder, version).splitlines() if line.strip()]
        return _entry(folder, version, lines)
    except FileNotFoundError:
        return None
    except LogError as error:
        raise UnreadableError(f"{error}. `make verify` says what is wrong with the lake.") from None
    except (ValueError, OverflowError, OSError, RecursionError) as error:  # of which msgspec's are
        raise UnreadableError(f"{path} is damaged ({error}). `make verify` says what is wrong with the lake.") from None


def _entry(folder: Path, version: int, lines: list[_Line]) -> Entry:
    info = next((line.commitInfo for line in lines if line.commitInfo), _Info())
    every_add = [line.add for line in lines if line.add]
    adds = [add for add in every_add if add.dataChange]
    removes = [line.remove for line in lines if line.remove]
    return Entry(
        version=version,
        committed=datetime.fromtimestamp(_changed(folder, version) if info.timestamp is None else info.timestamp / 1000, UTC),
        operation=info.maintenance or info.operation,
        record=metadata_in(info.userMetadata),
        added=tuple(inside(folder, [literal(add.path) for add in adds])),
        rows=sum(msgspec.json.decode(add.stats, type=_Stats).numRecords for add in adds if add.stats),
        files_added=len(every_add),
        files_removed=len(removes),
        deletes=any(remove.dataChange for remove in removes),
    )


def _changed(folder: Path, version: int) -> float:
    return beneath.look(folder.parent, entry_path(folder, version)).st_mtime


def entries(folder: Path, newest: int, oldest: int = 0) -> Iterator[Entry]:
    """Give the entries from a version down to another, as far back as the log has them."""
    for version in range(newest, oldest - 1, -1):
        if (found := entry(folder, version)) is None:
            return
        yield found


def version_at(folder: Path, newest: int, at: datetime) -> int:
    """Return the newest version that was committed at or before a moment. Raises RequestError if the log begins later."""
    found = newest_that(folder, newest, lambda entry: entry.committed <= at)
    if found is not None:
        return found
    begin = oldest(folder, newest)
    first = entry(folder, begin)
    when = f"{first.committed:%Y-%m-%dT%H:%M:%S}Z" if first else "later"
    raise RequestError(
        f"Nothing is known as of {at:%Y-%m-%dT%H:%M:%S}Z: the table's log begins with version {begin} at {when}."
    )


def newest_that(folder: Path, newest: int, holds: Callable[[Entry], bool]) -> int | None:
    """Return the newest version whose entry `holds`, where all up to some version do and none after it; None if none does."""
    begin = oldest(folder, newest)
    before, after = begin - 1, newest + 1
    while after - before > 1:
        middle = (before + after) // 2
        if (found := entry(folder, middle)) and not holds(found):
            after = middle
        else:
            before = middle
    return before if before >= begin else None


def has(folder: Path, version: int) -> bool:
    """Whether the log has the entry of a version: a look costs the same however long the log is."""
    return entry_path(folder, version).exists()


def oldest(folder: Path, newest: int) -> int:
    """Return the oldest version that the log still has an entry of; no earlier one can be opened. Lists the whole log."""
    return min(versions(folder), default=newest)


def versions(folder: Path) -> Iterator[int]:
    """List the versions that the log has entries of, in no order."""
    return (int(match[1]) for path in (folder / "_delta_log").iterdir() if (match := ENTRY.fullmatch(path.name)))


def inside(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the absolute paths of data files that the log names, of which every engine takes each character as itself.

    Raises UnreadableError if one leads out of the folder, is no regular file, or has characters that an engine would read
    something into. One that is gone is passed over: whoever reads it will say so.
    """
    for name in names:
        if OUTSIDE.search(name):
            raise UnreadableError(f"The log of {folder} names {name!a}, a file outside of the table: it is not read.")
        if not name or READ_INTO.search(name):
            raise UnreadableError(f"The log of {folder} names {name!a}, which is no name of a data file: it is not read.")
    try:
        beneath.look_at_all(folder.parent, folder, names)
    except OSError as error:
        raise UnreadableError(f"{error}. `make verify` says what is wrong with the lake.") from None
    table = str(for_duckdb(folder))
    return [f"{table}/{name}" for name in names]


class LogTail:
    """Follows a table's log from version to version: a look costs one `stat`, however long the log is."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._folder = folder
        self.version: int | None = None

    def look(self) -> int | None:
        """Return the newest version of the table; None if there is no table."""
        if self.version is None or not self._has(self.version):  # the first look, or somebody has deleted the lake
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
