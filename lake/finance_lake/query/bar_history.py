"""Bars of one symbol before or after a time, read step by step, however many ticks the lake has.

A step reads only the files, and within large files only the rows, that can hold ticks of its time. Its length follows the
number of rows that the log names for that time. Steps go on until there are enough bars, or there are some and the time is
over; the viewer asks again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from finance_contract.tick import EVENT_TIMES_NS
from finance_lake.query import bars
from finance_lake.query.file_cache import FILE, FileCache
from finance_lake.query.relations import source
from finance_lake.query.selection import Selection
from finance_lake.query.values import EPOCH, MICROSECOND
from finance_storage.delta_table import TIME_STEP
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_lake.query.engine import Engine
    from finance_lake.query.snapshot import Snapshot, SnapshotFile

# A file of at most this many rows is read whole and its bars are cached: a running job writes such files, some every second.
SMALL_FILE_ROWS = 100_000
# Rows that a step reads at most, unless a single bar has more.
ROWS_PER_STEP = 700_000
SECONDS = 0.1
# The times that the contract allows, for files without statistics, which only other writers make.
EARLIEST, LATEST = (EPOCH + ns // 1000 * MICROSECOND for ns in (EVENT_TIMES_NS[0], EVENT_TIMES_NS[-1]))
# How much longer a step is after one in which there were no ticks.
GAP_GROWTH = 8


@dataclass(frozen=True)
class BarPage:
    """Bars of a symbol, oldest first, with the columns of `Lake.bars`.

    Attributes:
        bars: the bars
        more: whether there may be further ticks of the symbol in the direction that was asked for
        reached: microseconds since 1970 up to which everything is known in that direction; the next page begins there

    """

    bars: pa.Table
    more: bool
    reached: int


class BarHistory:
    """Reads pages of bars with an engine, and caches the bars of small files."""

    def __init__(self, engine: Engine, cache_bytes: int) -> None:
        """Create a reader with an empty cache."""
        self._engine = engine
        self._partials = FileCache(cache_bytes)

    def before(self, snapshot: Snapshot, symbol: str, step: int, end: int | None, count: int) -> BarPage:
        """Return the newest bars, up to about `count`, that begin before `end`, in microseconds; None for the newest of all."""
        files = _of_symbol(snapshot, symbol)
        top = _up(max((_last(file) for file in files), default=0) + 1, step)
        end = top if end is None else min(_up(end, step), top)
        deadline, found, rows, width = time.monotonic() + SECONDS, list[pa.Table](), 0, count
        while left := [file for file in files if _first(file) < end]:
            end = min(end, _up(max(_last(file) for file in left) + 1, step))
            begin = _begin(left, end, step, width)
            part = self._bars(snapshot, left, symbol, step, (begin, end))
            found, rows, end = [part, *found], rows + part.num_rows, begin
            width = _next_width(width, part, count - rows)
            if rows >= count or (rows and time.monotonic() > deadline):
                break
        return BarPage(self._joined(found, snapshot), any(_first(file) < end for file in files), end)

    def after(self, snapshot: Snapshot, symbol: str, step: int, begin: int, count: int) -> BarPage:
        """Return the oldest bars, up to about `count`, that begin at or after `begin`, in microseconds."""
        files = _of_symbol(snapshot, symbol)
        begin = _up(begin, step)
        deadline, found, rows, width = time.monotonic() + SECONDS, list[pa.Table](), 0, count
        while left := [file for file in files if _last(file) >= begin]:
            begin = max(begin, min(_first(file) for file in left) // step * step)
            end = _end(left, begin, step, width)
            part = self._bars(snapshot, left, symbol, step, (begin, end))
            found, rows, begin = [*found, part], rows + part.num_rows, end
            width = _next_width(width, part, count - rows)
            if rows >= count or (rows and time.monotonic() > deadline):
                break
        return BarPage(self._joined(found, snapshot), any(_last(file) >= begin for file in files), begin)

    def _bars(
        self, snapshot: Snapshot, files: Sequence[SnapshotFile], symbol: str, step: int, span: tuple[int, int]
    ) -> pa.Table:
        begin, end = span
        within = Selection((symbol,), EPOCH + begin * MICROSECOND, EPOCH + end * MICROSECOND)
        inside = [file for file in files if file.may_hold(within)]
        small = [file.path for file in inside if file.rows <= SMALL_FILE_ROWS]
        large = [file.path for file in inside if file.rows > SMALL_FILE_ROWS]

        def compute(missing: Sequence[str]) -> pa.Table:
            rows = f"(SELECT * FROM {source(TICKS, missing, with_file=True)} WHERE {Selection((symbol,)).where})"
            return self._engine.table(bars.partial(rows, step, f"{FILE}, "))

        cached = self._partials.of((symbol, step), small, compute)
        rows = f"(SELECT * FROM {source(TICKS, large, snapshot.later_ticks)} WHERE {within.where})"
        partials = f"""
            SELECT * EXCLUDE ({FILE}) FROM cached WHERE stretch >= {begin // step} AND stretch < {end // step}
            UNION ALL {bars.partial(rows, step)}"""
        return self._engine.table(bars.whole(partials, step), cached=cached)

    def _joined(self, parts: list[pa.Table], snapshot: Snapshot) -> pa.Table:
        if parts:
            return pa.concat_tables(parts)
        return self._engine.table(bars.whole(bars.partial(source(TICKS, [], snapshot.later_ticks), 1), 1))


def _of_symbol(snapshot: Snapshot, symbol: str) -> list[SnapshotFile]:
    return [file for file in snapshot.ticks if file.rows and file.may_hold(Selection((symbol,)))]


def _next_width(width: int, part: pa.Table, left: int) -> int:
    """Return how many bars the next step may hold: as many as are left, or more after a step without any, in a gap."""
    return max(1, left) if part.num_rows else width * GAP_GROWTH


def _begin(files: Sequence[SnapshotFile], end: int, step: int, count: int) -> int:
    """Return where a step backward from `end` begins: `count` bars before it, or fewer if that would be too many rows."""
    begin, least = max(0, end - count * step), max(0, end - step)
    while begin < least and _rows(files, begin, end) > ROWS_PER_STEP:
        begin = least - (least - begin) // 2 // step * step
    return begin


def _end(files: Sequence[SnapshotFile], begin: int, step: int, count: int) -> int:
    """Return where a step forward from `begin` ends."""
    end, least = begin + count * step, begin + step
    while end > least and _rows(files, begin, end) > ROWS_PER_STEP:
        end = least + (end - least) // 2 // step * step
    return end


def _rows(files: Sequence[SnapshotFile], begin: int, end: int) -> float:
    """Estimate the rows between two times, from the log: the rows of a file are taken as spread evenly over its time."""
    rows = 0.0
    for file in files:
        first, last = _first(file), _last(file)
        if file.rows > SMALL_FILE_ROWS:
            rows += file.rows * max(0, min(end, last) - max(begin, first)) / max(1, last - first)
    return rows


def _first(file: SnapshotFile) -> int:
    return ((file.first_event or EARLIEST) - EPOCH) // MICROSECOND


def _last(file: SnapshotFile) -> int:
    """Return the time of a file's last tick, at most a millisecond too late."""
    return ((file.last_event or LATEST) + TIME_STEP - EPOCH) // MICROSECOND


def _up(us: int, step: int) -> int:
    return -(-us // step) * step
