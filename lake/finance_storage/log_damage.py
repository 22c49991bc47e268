"""Find files of a table's log that are empty, torn, missing, or not regular files.

A commit is not flushed to disk, so a power cut can leave the newest entry of a log empty. Spark reads an empty Delta commit as
a commit without files, so its rows disappear without an error.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from finance_storage.files import LogError, entry_path, fault, log_files, read_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_storage.place import Place

READ_BY_ALL = {".json", ".parquet"}


class _Info(msgspec.Struct):
    timestamp: int | None = None


class _Line(msgspec.Struct):
    commitInfo: _Info | None = None  # noqa: N815 (the protocol's name)


def damaged_log(table: Place) -> Iterator[str]:
    """Yield a sentence for each log file that is empty, torn (only the newest is checked), missing, or not a regular file."""
    try:
        files = [(table / "_delta_log" / name, status) for name, status in sorted(log_files(table).items())]
    except LogError as error:
        yield str(error)
        return
    entries = [path for path, _ in files if path.suffix == ".json" and path.stem.isdecimal()]
    faults = {path: what for path, status in files if (what := fault(status) or _emptiness(path, status.st_size))}
    for path, what in faults.items():
        yield f"{path} {what}"
    if entries and entries[-1] not in faults and (what := _tear(table, int(entries[-1].stem))):
        yield f"{entries[-1]} {what}"
    for before, after in pairwise(int(path.stem) for path in entries):
        if after != before + 1:
            yield f"{entry_path(table, before + 1)} is missing, but version {after} exists"


def _emptiness(path: Place, size: int) -> str | None:
    return "is empty" if not size and path.suffix in READ_BY_ALL and path.name[:1].isdecimal() else None


def _tear(table: Place, version: int) -> str | None:
    """Return what is wrong with the lines of an entry; None if nothing is, or the entry was removed meanwhile."""
    try:
        for line in read_entry(table, version).splitlines():
            if line.strip() and (info := msgspec.json.decode(line, type=_Line).commitInfo) and info.timestamp is not None:
                datetime.fromtimestamp(info.timestamp / 1000, UTC)
    except FileNotFoundError:
        return None
    except RecursionError:
        return "is nested too deeply"
    except (OverflowError, ValueError, OSError) as error:
        return f"is torn or not a log entry ({error})"
    return None
