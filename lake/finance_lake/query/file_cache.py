"""Sums over data files that are kept: a file never changes, so what was once computed of it holds as long as it lives.

The job adds a small file a second. To look at the newest bars then costs a look into that file, not into the table.
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
# A path that is remembered, for itself and its place in a set: also of files that have no row for the question.
PATH_BYTES = 300


class FileCache:
    """What was computed of files, by question; the questions longest unasked are forgotten first."""

    def __init__(self, most_bytes: int = MAX_BYTES) -> None:
        """Know nothing yet."""
        self._most_bytes = most_bytes
        self._known: OrderedDict[Hashable, tuple[frozenset[str], pa.Table]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, question: Hashable, files: Sequence[str], compute: Callable[[Sequence[str]], pa.Table]) -> pa.Table:
        """Give the rows of these files. `compute` makes those of files not seen yet, with a column `filename`."""
        with self._lock:
            done, rows = self._known.get(question, (frozenset[str](), None))
        missing = [file for file in files if file not in done]
        if rows is None or missing:
            fresh = _compact(compute(missing))
            rows = fresh if rows is None else pa.concat_tables([rows, fresh])
            done |= frozenset(missing)
        wanted = set(files)
        if len(done) > 2 * len(wanted) + 100:  # files that a compaction has replaced, or another part of the table
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
    """Hold each path once: a path is longer than most rows."""
    return rows.set_column(rows.column_names.index(FILE), FILE, rows.column(FILE).dictionary_encode())


def _only(rows: pa.Table, files: set[str]) -> pa.Table:
    return rows.filter(pc.is_in(rows.column(FILE).cast(pa.string()), pa.array(sorted(files), pa.string())))
