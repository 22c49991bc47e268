"""Choose the data files of a table to merge or to sort. Pure.

A stream with one commit a second leaves 86,400 files a day, and every query opens all of them. Files are merged within two size
classes, tiny and small: 32 of one class become a bigger one. So a row is rewritten only a few times, and a day has few files.
When a day is over, its rows are sorted by symbol and time, so that a query for one symbol reads a few pages.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from finance_job.transaction import LiveFile

MERGED = "merged"
SORTED = "sorted"
MIN_FILES_TO_COMPACT = 32
MAX_FILES_AT_ONCE = 256
# Rows held in memory at a time; a quarantined record may have 64 KiB.
MAX_ROWS_PER_FILE = {TICKS: 1_000_000, QUARANTINE: 1_000}


class Slice(NamedTuple):
    """The rows of one sorted file: all rows of some symbols, or the time range `[start, end)` of one symbol."""

    symbols: list[str]
    start: datetime | None = None
    end: datetime | None = None


def to_merge(name: str, files: Iterable[LiveFile], today: date) -> list[LiveFile]:
    """Return files of one partition and size class to merge into one; empty if there are not enough."""
    classes: defaultdict[tuple[str, bool], list[LiveFile]] = defaultdict(list)
    for file in files:
        if file.rows * 2 < MAX_ROWS_PER_FILE[name] and not _is_closed(file, today):
            classes[str(file.partition_values), file.rows * 100 < MAX_ROWS_PER_FILE[name]].append(file)
    for members in classes.values():
        if (
            len(members) >= MIN_FILES_TO_COMPACT
            and len(merged := _up_to(MAX_ROWS_PER_FILE[name], members[:MAX_FILES_AT_ONCE])) > 1
        ):
            return merged
    return []


def to_sort(files: Iterable[LiveFile], today: date) -> list[LiveFile]:
    """Return the files of the oldest closed date that has unsorted ones."""
    dates: defaultdict[str, list[LiveFile]] = defaultdict(list)
    for file in files:
        if _is_closed(file, today) and not _is_sorted(file):
            dates[file.partition_values["date"]].append(file)
    return dates[min(dates)] if dates else []


def slices(counts: Mapping[str, int], times: Mapping[str, np.ndarray]) -> list[Slice]:
    """Cut a date into slices of about MAX_ROWS_PER_FILE rows at most, ordered by symbol.

    `counts` has the number of rows of each symbol, `times` the event times of symbols with more than MAX_ROWS_PER_FILE rows.
    """
    pieces: list[Slice] = []
    room = 0
    for symbol in sorted(counts):
        if symbol in times:
            pieces += _by_time(symbol, times[symbol])
            room = 0
        elif counts[symbol] <= room:
            pieces[-1].symbols.append(symbol)
            room -= counts[symbol]
        else:
            pieces.append(Slice([symbol]))
            room = MAX_ROWS_PER_FILE[TICKS] - counts[symbol]
    return pieces


def _by_time(symbol: str, times: np.ndarray) -> list[Slice]:
    pieces = -(-len(times) // MAX_ROWS_PER_FILE[TICKS])
    bounds = np.unique(np.sort(times)[[len(times) * piece // pieces for piece in range(1, pieces)]]).tolist()
    return [Slice([symbol], start, end) for start, end in zip([None, *bounds], [*bounds, None], strict=True)]


def _up_to(limit: int, files: Sequence[LiveFile]) -> list[LiveFile]:
    rows = np.cumsum([file.rows for file in files])
    return list(files[: int(np.searchsorted(rows, limit, side="right"))])


def _is_closed(file: LiveFile, today: date) -> bool:
    return file.partition_values.get("date", today.isoformat()) < today.isoformat()


def _is_sorted(file: LiveFile) -> bool:
    return file.path.rsplit("/", 1)[-1].startswith(SORTED)
