"""A cache of partial results per data file. Files never change, so a result stays valid.

The job adds about one small file per second. Computing the newest bars then reads that file only, not the whole table.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

MAX_BYTES = 256 * 1024 * 1024
FILE = "filename"
# Memory of a cached path and its place in a set, also for files that have no rows.
PATH_BYTES = 300


class FileCache:
    """Rows computed from files, by question. The least recently used questions are evicted first."""

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        """Create an empty cache of at most `most_bytes`."""
        self._most_bytes = most_bytes
        self._known: OrderedDict[Hashable, tuple[frozenset[str], pa.Table]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, question: Hashable, files: Sequence[str], compute: Callable[[Sequence[str]], pa.Table]) -> pa.Table:
        """Return the rows of these files. `compute` returns those of files not cached yet, with a column `filename`."""
        with self._lock:
            done, rows = self._known.get(question, (frozenset[str](), None))
        missing = [file for file in files if file not in done]
        if rows is None or missing:
            fresh = _compact(compute(missing))
            rows = fresh if rows is None else pa.concat_tables([rows, fresh])
            done |= frozenset(missing)
        wanted = set(files)
        if len(done) > 2 * len(wanted) + 100:  # files that a compaction has replaced, or that other selections needed
            rows, done = _only(rows, wanted), frozenset(wanted)
        self._keep(question, done, rows)
        return rows if done == wanted else _only(rows, wanted)

    def _keep(self, question: Hashable, done: frozenset[str], rows: pa.Table) -> None:
        with self._lock:
            self._known[question] = done, rows
            self._known.move_to_end(question)
            while sum(table.nbytes + PATH_BYTES * len(done) for done, table in self._known.values()) > self._most_bytes:
                self._known.popitem(last=False)


def _compact(rows: pa.Table) -> pa.Table:
    """Store each path once, because a path is longer than most rows."""
    return rows.set_column(rows.column_names.index(FILE), FILE, rows.column(FILE).dictionary_encode())


def _only(rows: pa.Table, files: set[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows.column(FILE).cast(pa.string()), pa.array(sorted(files), pa.string())))
