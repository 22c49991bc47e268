"""The place of a lake, or of a part of it: a folder on a disk, or a prefix in a bucket of an object store.

Each operation on a lake's content goes through here: in a folder to `finance_role.beneath`, which follows no link, in a bucket
to `bucket`, where there are no links. What belongs to a process and not to the lake (locks, heartbeats, scratch files) is
always in a folder.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, BinaryIO

from pyarrow import fs

from finance_role import beneath
from finance_storage.bucket import BucketPath
from finance_storage.errors import StoreUnavailableError, first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place = Path | BucketPath
# In each of Arrow's errors about a request. What it says about the content of a file has other words.
STORE_FAULT = "AWS Error"


def uri(place: Place) -> str:
    """Return the address by which delta-rs opens a table."""
    return str(place) if isinstance(place, BucketPath) else str(place.absolute())  # a relative `s3:` would be a URL


def spark_uri(place: Place) -> str:
    """Return the address by which Spark reads a table: Hadoop's file system for S3 has a scheme of its own."""
    return f"s3a://{place.key}" if isinstance(place, BucketPath) else str(place)


def delta_options(place: Place) -> dict[str, str] | None:
    """Return the options by which delta-rs opens a table; None for a folder. Raises CredentialsError."""
    return place.store.delta_options() if isinstance(place, BucketPath) else None


def file_system(folder: Place) -> tuple[fs.FileSystem, str]:
    """Return Arrow's file system for a folder, and the folder's path in it."""
    if isinstance(folder, BucketPath):
        return folder.store.file_system(), folder.key
    return fs.LocalFileSystem(), str(folder.absolute())


def opened(root: Place, path: Place) -> BinaryIO:
    """Open a file of the lake for reading. Raises IrregularError, FileNotFoundError and other OSErrors."""
    return _literal(path).opened() if isinstance(path, BucketPath) else beneath.opened(_folder(root), path)


def read(root: Place, path: Place, most: int = beneath.SMALL_BYTES) -> bytes:
    """Read a whole file. Raises like `opened`, and IrregularError if a file in a folder has more than `most` bytes."""
    return _literal(path).read() if isinstance(path, BucketPath) else beneath.read(_folder(root), path, most)


def status_of(root: Place, path: Place) -> os.stat_result:
    """Return size and time of a file. Raises like `opened`."""
    if not isinstance(path, BucketPath):
        return beneath.status_of(_folder(root), path)
    if status := _literal(path).status():
        return status
    raise FileNotFoundError(f"No such object: {path}")


def exists(path: Place) -> bool:
    """Return whether a file or a folder exists."""
    return path.status() is not None if isinstance(path, BucketPath) else path.exists()


def names(folder: Place) -> Iterator[str]:
    """Yield the names in a folder, of which nothing is opened. Raises FileNotFoundError, NotADirectoryError."""
    return iter(folder.listed()) if isinstance(folder, BucketPath) else (path.name for path in folder.iterdir())


def listed(root: Place, folder: Place) -> dict[str, os.stat_result]:
    """Return the status of each entry in a folder, by name. Raises like `opened`; a prefix without objects is empty."""
    return folder.listed() if isinstance(folder, BucketPath) else beneath.listed(_folder(root), folder)


def require_regular(root: Place, folder: Place, names: Iterable[str]) -> None:
    """Raise IrregularError for the first of these files, named relative to the folder, that is not a regular file.

    In a bucket there is nothing else; there only the names are checked.
    """
    if isinstance(folder, BucketPath):
        for name in names:
            _literal(folder / name)
    else:
        beneath.statuses_of(_folder(root), folder, names)


def require_unlinked(root: Place, folder: Place) -> None:
    """Raise IrregularError for a link in a folder, at any depth, or above it. A bucket has no links."""
    if not isinstance(folder, BucketPath):
        beneath.require_unlinked(_folder(root), folder)


def write_whole(root: Place, path: Place, content: bytes, *, replace: bool = True) -> None:
    """Write a file atomically. Raises IrregularError, and FileExistsError if it exists, unless `replace` is set.

    In a bucket, of two drivers that write the same file without `replace` at the same instant, the later one wins.
    """
    if not isinstance(path, BucketPath):
        beneath.write_whole(_folder(root), path, content, replace=replace)
        return
    if not replace and path.status():
        raise FileExistsError(f"{path} exists")
    path.write(content)


@contextmanager
def created(root: Place, path: Place) -> Iterator[BinaryIO]:
    """Create a file with a new name and yield it for writing. In a bucket it is written at the end, if there was no error."""
    if isinstance(path, BucketPath):
        content = BytesIO()
        yield content
        path.write(content.getbuffer())
    else:
        with os.fdopen(beneath.create(_folder(root), path), "wb") as file:
            yield file
            file.flush()


def remove(root: Place, path: Place) -> None:
    """Remove a file, or a folder with its contents. It need not exist."""
    path.remove() if isinstance(path, BucketPath) else beneath.remove(_folder(root), path)


def move(root: Place, path: Place, target: Place) -> None:
    """Move a file. In a bucket it is copied, then removed: a kill in between leaves both."""
    if isinstance(path, BucketPath) and isinstance(target, BucketPath):
        path.copy_to(target)
        path.remove()
    else:
        beneath.move(_folder(root), _folder(path), _folder(target))


def move_folder(root: Place, path: Place, target: Place) -> None:
    """Move a folder with its contents, in a bucket one object after the other."""
    if not isinstance(path, BucketPath):
        move(root, path, target)
        return
    for name, status in path.listed().items():
        moved = move_folder if S_ISDIR(status.st_mode) else move
        moved(root, path / name, target / name)
    path.remove()


@contextmanager
def outages_named(place: Place) -> Iterator[None]:
    """Raise StoreUnavailableError for an error of the object store, which is no fault of what is read."""
    try:
        yield
    except OSError as error:
        if isinstance(place, BucketPath) and STORE_FAULT in str(error):
            raise StoreUnavailableError(f"The object store has failed at {place}: {first_line(error)}.") from None
        raise


def _literal(path: BucketPath) -> BucketPath:
    """Return the path. Raises IrregularError if a part of it could be read as a step out of its prefix."""
    if {"", ".", ".."} & {*path.key.split("/")}:
        raise beneath.IrregularError(path, "is not a path below the lake")
    return path


def _folder(place: Place) -> Path:
    if isinstance(place, BucketPath):
        raise TypeError(f"{place} is not a folder")
    return place
