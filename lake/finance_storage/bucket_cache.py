"""Local copies of data files in a bucket, for DuckDB and for the process that runs users' SQL, which both read only files.

A data file never changes, so a copy stays valid. `paths` names copies that need not exist yet, and `fetch` downloads those that
are missing, just before they are read. The copies that were not used for the longest time are removed when there are too many.
"""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from finance_role import beneath
from finance_role.literal_paths import for_duckdb
from finance_storage.bucket import BucketPath
from finance_storage.errors import StoreUnavailableError, UnreadableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from finance_storage.place import Place

MEGABYTE = 1 << 20
DOWNLOADS = 8  # at the same time
GRACE_SECONDS = 60.0  # a copy that was used more recently may still be being read

_lock = threading.Lock()
_tables: dict[str, BucketPath] = {}


def readable_folder(table: Place) -> Path:
    """Return the folder of a table's data files that this machine can read: the table's own, or that of its copies."""
    return _copy_of(table) if isinstance(table, BucketPath) else table


def path_for_duckdb(table: Place) -> str:
    """Return the same folder in which DuckDB treats every character literally, and remember whose copies it has."""
    folder = str(for_duckdb(readable_folder(table)))
    if isinstance(table, BucketPath):
        with _lock:
            _tables[folder] = table
    return folder


def fetch(paths: Iterable[str]) -> None:
    """Download those of these data files, named as `path_for_duckdb` does, that are in a bucket and have no copy yet.

    Raises UnreadableError if one cannot be read, or if together they are larger than the cache may be.
    """
    if not _tables:
        return
    wanted = {source: Path(path) for path in paths if (source := _source(path))}
    missing = [source for source, copy in wanted.items() if not _is_used(copy)]
    if not missing:
        return
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        list(pool.map(_download, missing))
    store = missing[0].store
    size = sum(copy.stat().st_size for copy in wanted.values())
    if size > store.cache_bytes:
        for source in missing:
            beneath.remove(Path(store.cache), _copy_of(source))
        raise UnreadableError(
            f"The query needs {size / MEGABYTE:,.1f} MB of data files, and the copies may have "
            f"{store.cache_bytes / MEGABYTE:,.1f}: select fewer symbols or a shorter time, or set S3_CACHE_MB."
        )
    _evict(Path(store.cache), store.cache_bytes, {str(_copy_of(source)) for source in wanted})


def all_exist(paths: Iterable[str]) -> bool:
    """Return whether all of these data files, named as `path_for_duckdb` does, can be read."""
    missing = [path for path in paths if not Path(path).exists()]
    if not missing:
        return True
    sources = [_source(path) for path in missing]
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        return all(pool.map(lambda source: source is not None and source.status() is not None, sources))


def _source(path: str) -> BucketPath | None:
    """Return the object that a path names a copy of; None for a file of a folder."""
    with _lock:
        return next((table / path.removeprefix(f"{at}/") for at, table in _tables.items() if path.startswith(f"{at}/")), None)


def _copy_of(path: BucketPath) -> Path:
    """Return the path of the copy; two stores may have buckets of one name."""
    return Path(path.store.cache) / f"{crc32(path.store.endpoint.encode()):08x}" / path.key


def _is_used(copy: Path) -> bool:
    """Return whether there is a copy, and note that it is used."""
    try:
        os.utime(copy)
    except OSError:
        return False
    return True


def _download(source: BucketPath) -> None:
    try:
        beneath.write_whole(Path(source.store.cache), _copy_of(source), source.read(), flush=False)
    except StoreUnavailableError:
        raise
    except OSError as error:
        raise UnreadableError(f"{source} cannot be read: {first_line(error)}. `make verify` shows details.") from None


def _evict(root: Path, most_bytes: int, needed: set[str]) -> None:
    """Remove the copies that were not used for the longest time until the cache is small enough."""
    copies = []
    for folder, _, names in os.walk(root):
        for name in names:
            with suppress(FileNotFoundError):
                path = f"{folder}/{name}"
                status = os.lstat(path)
                copies.append((status.st_mtime, status.st_size, path))
    size = sum(bytes_ for _, bytes_, _ in copies)
    for used, bytes_, path in sorted(copies):
        if size <= most_bytes or used > time.time() - GRACE_SECONDS:
            return
        if path not in needed:
            beneath.remove(root, Path(path))
            size -= bytes_
