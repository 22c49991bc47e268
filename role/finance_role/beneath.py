"""Open, write and remove files below a lake's folder by descriptor, so that no link leads out of the lake.

A lake is untrusted and may contain a link, a pipe or a folder in the place of a file. So each part of a path is opened relative
to the folder before it, and links are never followed. If something other than a regular file is in a file's place,
IrregularError names it. The lake's folder itself is chosen by the user and may be a link, for example to another disk. Standard
library only, because probes and scripts import this module. For files that Kafka and ZooKeeper write, kafka/broker/refuse-links
does the check.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Non-blocking, so that a pipe in a file's place does not block the process.
GUARDED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
SMALL_BYTES = 16 * 1024 * 1024
KINDS = (
    (stat.S_ISLNK, "a symbolic link, which is not followed: below a lake's folder there may be none"),
    (stat.S_ISDIR, "a folder, not a file"),
    (stat.S_ISFIFO, "a pipe, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (stat.S_ISREG, "a file, not a folder"),
)


class IrregularError(OSError):
    """Something else is in the place of a file or folder of the lake; the message is `path` and `what` it is."""

    def __init__(self, path: object, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path
        self.what = what


def opened(root: Path, path: Path) -> BinaryIO:
    """Open a file below the lake's folder for reading. Raises IrregularError, FileNotFoundError and other OSErrors."""
    with _within(root, path) as (here, name):
        return os.fdopen(_regular(name, here, path, os.O_RDONLY), "rb")


def read(root: Path, path: Path, most: int = SMALL_BYTES) -> bytes:
    """Read a whole file. Raises like `opened`, and IrregularError if it has more than `most` bytes."""
    with opened(root, path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise IrregularError(path, f"has {size:,} bytes, more than the limit of {most:,}")
        return file.read()


def status_of(root: Path, path: Path) -> os.stat_result:
    """Return the status of a file (size, times) without opening it. Raises like `opened`."""
    with _within(root, path) as (here, name):
        return _status(name, here, path)


def fault(status: os.stat_result) -> str | None:
    """Return what is in the place of a regular file; None if it is one."""
    return None if stat.S_ISREG(status.st_mode) else f"is {_kind(status)}"


def listed(root: Path, folder: Path) -> dict[str, os.stat_result]:
    """Return the status of each entry in a folder below the lake's, by name, without following links. Raises like `opened`."""
    with _within(root, folder / "any") as (here, _), os.scandir(here) as entries:
        statuses = {}
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                statuses[entry.name] = entry.stat(follow_symlinks=False)
        return statuses


def statuses_of(root: Path, folder: Path, names: Iterable[str]) -> dict[str, os.stat_result]:
    """Return the status of each of these files, named relative to the folder, that exists.

    Raises IrregularError for the first that is not a regular file or is behind a link. Call it before a library opens many
    files by path.
    """
    statuses = {}
    by_folder = defaultdict[str, list[str]](list)
    for name in names:
        parent, _, base = name.rpartition("/")
        by_folder[parent].append(base)
    for parent, bases in by_folder.items():
        with suppress(FileNotFoundError), _within(root, folder / parent / "any") as (here, _):
            for base in bases:
                if status := _status_if_exists(base, here, folder / parent):
                    statuses[f"{parent}/{base}" if parent else base] = status
    return statuses


def require_unlinked(root: Path, folder: Path) -> None:
    """Raise IrregularError for a link in a folder, at any depth, or above it. Call it before a library writes there by path."""
    with suppress(FileNotFoundError), _within(root, folder / "any") as (here, _):
        for at, folders, files, within in os.fwalk(".", dir_fd=here, follow_symlinks=False):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):  # a running lake removes files meanwhile
                    status = os.stat(name, dir_fd=within, follow_symlinks=False)
                    if stat.S_ISLNK(status.st_mode):
                        raise IrregularError(folder / at / name, f"is {_kind(status)}")


def write_whole(root: Path, path: Path, content: bytes, *, flush: bool = True, replace: bool = True) -> None:
    """Write a file atomically: a reader sees the old content or the new, never a part; with `flush` even after a power cut.

    Raises IrregularError if something other than a regular file is in its place, and FileExistsError if a file is, unless
    `replace` is set.
    """
    with _within(root, path, make=True) as (here, name):
        with suppress(FileNotFoundError):
            _status(name, here, path)
        temporary = f".{name}.{secrets.token_hex(4)}.new"
        try:
            with os.fdopen(os.open(temporary, NEW | GUARDED, 0o666, dir_fd=here), "wb") as file:
                file.write(content)
                file.flush()
                if flush:
                    os.fsync(file.fileno())
            if replace:
                os.rename(temporary, name, src_dir_fd=here, dst_dir_fd=here)
            else:
                os.link(temporary, name, src_dir_fd=here, dst_dir_fd=here)
                os.unlink(temporary, dir_fd=here)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=here)
            raise
        if flush:
            os.fsync(here)


def create(root: Path, path: Path) -> int:
    """Create a file; return its descriptor, for appending. Raises FileExistsError, IrregularError."""
    with _within(root, path, make=True) as (here, name):
        return _regular(name, here, path, NEW)


def append(root: Path, path: Path) -> int:
    """Open a file for reading and appending, creating it if needed; return its descriptor. Raises IrregularError."""
    with _within(root, path, make=True) as (here, name):
        return _regular(name, here, path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def make_folder(root: Path, path: Path, mode: int = 0o777) -> None:
    """Create a folder and its parents, unless they exist. Raises IrregularError."""
    with _within(root, path, make=True) as (here, name):
        os.close(_entered(name, here, (path,), mode))


def remove(root: Path, path: Path) -> None:
    """Remove a file, a folder with its contents, or a link without its target. It need not exist."""
    with suppress(FileNotFoundError), _within(root, path) as (here, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=here)
        else:
            os.unlink(name, dir_fd=here)


def move(root: Path, path: Path, target: Path) -> None:
    """Move a file or a folder below the lake's folder, and sync both parent folders so that it survives a power cut."""
    with _within(root, path) as (source, name), _within(root, target, make=True) as (destination, new):
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=destination)
        os.fsync(destination)
        os.fsync(source)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that the names in it survive a power cut."""
    descriptor = os.open(folder, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _within(root: Path, path: Path, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the parent folder of a path below `root`; yield its descriptor and the last part of the path."""
    *folders, name = _parts(root, path)
    if make:
        root.mkdir(parents=True, exist_ok=True)
    here = os.open(root, FOLDER)
    try:
        for depth, part in enumerate(folders, 1):
            below = _entered(part, here, (root, *folders[:depth]), 0o777 if make else None)
            os.close(here)
            here = below
        yield here, name
    finally:
        os.close(here)


def _parts(root: Path, path: Path) -> list[str]:
    # Uses strings, because this runs for many thousands of files, and Path.relative_to takes as long as opening a file.
    text, base = os.fspath(path), os.fspath(root)
    start = 0 if base == "." else len(base.rstrip("/")) + 1
    parts = text[start:].split("/") if start == 0 or text.startswith(f"{base.rstrip('/')}/") else []
    try:
        is_name = b"\0" not in os.fsencode(text)
    except UnicodeError:
        is_name = False
    if not is_name or not text[start:] or not parts or ".." in parts or text.startswith("/") > base.startswith("/"):
        raise IrregularError(path, f"is not a path below {root}")
    return parts


def _entered(name: str, here: int, path: tuple[Path | str, ...], mode: int | None) -> int:
    if mode is not None:
        with suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=here)
    try:
        return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=here)
    except OSError as error:
        raise _explained(error, name, here, Path(*path), stat.S_ISDIR) from None


def _regular(name: str, here: int, path: Path, flags: int) -> int:
    try:
        descriptor = os.open(name, flags | GUARDED, 0o666, dir_fd=here)
    except OSError as error:
        raise _explained(error, name, here, path, stat.S_ISREG) from None
    if what := fault(os.fstat(descriptor)):
        os.close(descriptor)
        raise IrregularError(path, what)
    return descriptor


def _status(name: str, here: int, path: Path) -> os.stat_result:
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    if what := fault(status):
        raise IrregularError(path, what)
    return status


def _status_if_exists(name: str, here: int, folder: Path) -> os.stat_result | None:
    try:
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if what := fault(status):
        raise IrregularError(folder / name, what)
    return status


def _explained(error: OSError, name: str, here: int, path: Path, is_expected: Callable[[int], bool]) -> OSError:
    """Return IrregularError if something of another kind is in the place; else the same error with the whole path."""
    with suppress(OSError):
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        if not is_expected(status.st_mode):
            return IrregularError(path, f"is {_kind(status)}")
    return OSError(error.errno, error.strerror, str(path))


def _kind(status: os.stat_result) -> str:
    return next((what for is_kind, what in KINDS if is_kind(status.st_mode)), "a device, not a file")
