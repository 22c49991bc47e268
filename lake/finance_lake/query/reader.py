"""An opened lake: what all families of queries share."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Self

from finance_lake.query import latest
from finance_lake.query.engine import Engine
from finance_lake.query.file_cache import MAX_BYTES, FileCache
from finance_lake.query.snapshot import open_snapshot
from finance_lake.query.sql import Sandboxes
from finance_role.literal_paths import fault
from finance_storage.errors import LakeError, RequestError
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from datetime import date
    from os import PathLike

    import pyarrow as pa

    from finance_lake.query.snapshot import Snapshot
    from finance_lake.query.times import AsOf


class LakeReader:
    """The folder of a lake, an engine, a cache of per-file results, and the processes that run users' SQL."""

    def __init__(
        self, data: str | PathLike[str] | LakePaths, *, cache_bytes: int = MAX_BYTES, engine: Engine | None = None
    ) -> None:
        """Open the lake in a folder, or at `paths`, which may be in a bucket.

        Raises NoLakeError if there is none, and RequestError if deltalake would misread the folder's name.

        Args:
            data: the lake's folder, or its paths
            cache_bytes: size limit of the cache of per-file results
            engine: a DuckDB engine to share with other lakes; a new one by default

        """
        self.paths = data if isinstance(data, LakePaths) else LakePaths(Path(data))
        if isinstance(self.paths.root, Path) and (what := fault(self.paths.root)):
            raise RequestError(f"The lake's folder {what}.")
        self.engine = engine or Engine()
        self._partials = FileCache(cache_bytes)
        self._sandboxes = Sandboxes()
        self._finalizer = weakref.finalize(self, self._sandboxes.close)
        open_snapshot(self.paths)

    def __enter__(self) -> Self:
        """Return the lake itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the lake."""
        self.close()

    def __repr__(self) -> str:
        """Return folder, version, number of ticks and their range of time, from the log alone."""
        name = f"{type(self).__name__}({str(self.paths.root)!r})"
        try:
            snapshot = open_snapshot(self.paths)
            extent = _extent(snapshot)
        except LakeError as error:
            return f"<{name}: {error}>"
        return f"<{name}: version {snapshot.version}, {snapshot.rows:,} ticks{extent}>"

    def close(self) -> None:
        """Stop the idle SQL processes. The lake stays usable and starts new ones as needed."""
        self._sandboxes.close()

    @property
    def version(self) -> int:
        """The newest version of the table of ticks."""
        return open_snapshot(self.paths).version

    @property
    def finalized_until(self) -> date | None:
        """The day before which all days are sealed: UTC dates of arrival that get no more ticks. None if no day is sealed."""
        return open_snapshot(self.paths).finalized_until

    def version_at(self, as_of: AsOf | None = None) -> int:
        """Return the version that `as_of` selects; the newest if it is None."""
        return open_snapshot(self.paths, as_of).version

    def count(self, as_of: AsOf | None = None) -> int:
        """Return the number of ticks in the lake. Reads only the log."""
        return open_snapshot(self.paths, as_of).rows

    def symbols(self, as_of: AsOf | None = None, limit: int | None = None) -> list[str]:
        """Return the symbols that the lake has ticks of, sorted, at most `limit`."""
        require_count(limit)
        known = self._symbols_of_files(open_snapshot(self.paths, as_of)).column("symbol").unique().sort()
        names: list[str] = known.slice(0, limit).to_pylist()
        return names

    def _symbols_of_files(self, snapshot: Snapshot) -> pa.Table:
        """Return which symbols each data file holds."""
        files = [file.path for file in snapshot.ticks]
        return self._partials.of("symbols", files, lambda missing: self.engine.table(latest.symbols_of_files(missing)))


def require_count(limit: int | None) -> None:
    """Check a number of rows. Raises RequestError."""
    if limit is not None and limit < 0:
        raise RequestError(f"limit={limit} is not a number of rows: it must be 0 or more.")


def _extent(snapshot: Snapshot) -> str:
    """Return the range of event times in words; empty if a file has no statistics."""
    span = snapshot.span
    return f", {span[0]:%Y-%m-%d %H:%M} to {span[1]:%Y-%m-%d %H:%M} UTC" if span else ""
