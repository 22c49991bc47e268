"""Which data files of a table to lay out anew. Pure.

A stream at one commit a second leaves 86,400 files a day, each of which every query opens. Files are merged by size class, tiny
and small: 32 of one class make one that is bigger. So a row is written a few times in its life, and the files of a day are few.
When a day is over, its rows are sorted by symbol and time: a query for one symbol then reads a few pages.
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
# Rows that are in memory at a time; a quarantined record may have 64 KiB.
MAX_ROWS_PER_FILE = {TICKS: 1_000_000, QUARANTINE: 1_000}


class Slice(NamedTuple):
    """Rows that go into one sorted file: all of some symbols, or a stretch of time `[start, end)` of one."""

    symbols: list[str]
    start: datetime | None = None
    end: datetime | None = None


def to_merge(name: str, files: Iterable[LiveFile], today: date) -> list[LiveFile]:
    """Give files of one partition and size class to make one of; none if there are not enough."""
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
    """Give the files of one closed date that are not sorted yet."""
    dates: defaultdict[str, list[LiveFile]] = defaultdict(list)
    for file in files:
        if _is_closed(file, today) and not _is_sorted(file):
            dates[file.partition_values["date"]].append(file)
    return dates[min(dates)] if dates else []


def slices(counts: Mapping[str, int], times: Mapping[str, np.ndarray]) -> list[Slice]:
    """Cut a date into slices of at most MAX_ROWS_PER_FILE rows, in the order of symbols.

    `counts` has the rows of each symbol, `times` the event times of those that have more than MAX_ROWS_PER_FILE.
    """
    found: list[Slice] = []
    room = 0
    for symbol in sorted(counts):
        if symbol in times:
            found += _by_time(symbol, times[symbol])
            room = 0
        elif counts[symbol] <= room:
            found[-1].symbols.append(symbol)
            room -= counts[symbol]
        else:
            found.append(Slice([symbol]))
            room = MAX_ROWS_PER_FILE[TICKS] - counts[symbol]
    return found


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
