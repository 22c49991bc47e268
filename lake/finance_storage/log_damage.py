"""Files of a table's log that are empty, torn, gone, or no files.

A commit is not flushed to the disk, so a power cut can leave the newest entry of a log with no content. Spark reads an empty
commit of Delta as a commit without files: rows that were there are gone, without a word.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from finance_storage.files import LogError, entry_path, fault, log_files, read_entry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ_BY_ALL = {".json", ".parquet"}


class _Info(msgspec.Struct):
    timestamp: int | None = None


class _Line(msgspec.Struct):
    commitInfo: _Info | None = None  # noqa: N815 (the protocol's name)


def damaged_log(table: Path) -> Iterator[str]:
    """Name each file of the table's log that is empty, torn (the newest alone can be), missing between two, or no file."""
    try:
        found = [(table / "_delta_log" / name, state) for name, state in sorted(log_files(table).items())]
    except LogError as error:
        yield str(error)
        return
    entries = [path for path, _ in found if path.suffix == ".json" and path.stem.isdecimal()]
    wrong = {path: what for path, state in found if (what := fault(state) or _emptiness(path, state.st_size))}
    for path, what in wrong.items():
        yield f"{path} {what}"
    if entries and entries[-1] not in wrong and (what := _tear(table, int(entries[-1].stem))):
        yield f"{entries[-1]} {what}"
    for before, after in pairwise(int(path.stem) for path in entries):
        if after != before + 1:
            yield f"{entry_path(table, before + 1)} is missing, {after} is there"


def _emptiness(path: Path, size: int) -> str | None:
    return "is empty" if not size and path.suffix in READ_BY_ALL and path.name[:1].isdecimal() else None


def _tear(table: Path, version: int) -> str | None:
    """Say what is wrong with the lines of an entry; None if nothing is, or it is gone meanwhile."""
    try:
        for line in read_entry(table, version).splitlines():
            if line.strip() and (info := msgspec.json.decode(line, type=_Line).commitInfo) and info.timestamp is not None:
                datetime.fromtimestamp(info.timestamp / 1000, UTC)
    except FileNotFoundError:
        return None
    except RecursionError:
        return "is nested too deeply"
    except (OverflowError, ValueError, OSError) as error:
        return f"is torn, or no entry of a log ({error})"
    return None
