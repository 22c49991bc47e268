"""Files below a lake's folder: opened, written and removed by descriptor, so that no link leads out of the lake.

A lake may come from a stranger, and may hold a link, a pipe or a folder where one of our files belongs. So each part of a path
is opened from the folder before it, and a link is never followed; what stands in a file's place has to be a regular file, or
IrregularError says what it is. The lake's folder itself is its user's choice and may be a link, as where it is kept on another
disk. Standard library only: probes and scripts import it. What Kafka and ZooKeeper write has kafka/broker/refuse-links.
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
# A pipe in a file's place must not hold the process up.
GUARDED = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
NEW = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
SMALL_BYTES = 16 * 1024 * 1024
KINDS = (
    (stat.S_ISLNK, "a symbolic link, which is not followed: below a lake's folder there may be none"),
    (stat.S_ISDIR, "a folder, and no file"),
    (stat.S_ISFIFO, "a pipe, and no file"),
    (stat.S_ISSOCK, "a socket, and no file"),
    (stat.S_ISREG, "a file, and no folder"),
)


class IrregularError(OSError):
    """Something else stands where a file or a folder of the lake belongs; the message is `path` and `what` it is."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path
        self.what = what


def opened(root: Path, path: Path) -> BinaryIO:
    """Open a file below the lake's folder for reading. Raises IrregularError, FileNotFoundError and what else `open` does."""
    with _within(root, path) as (here, name):
        return os.fdopen(_regular(name, here, path, os.O_RDONLY), "rb")


def read(root: Path, path: Path, most: int = SMALL_BYTES) -> bytes:
    """Read a file whole. Raises as `opened` does, and IrregularError where it has more than so many bytes."""
    with opened(root, path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise IrregularError(path, f"has {size:,} bytes, and {most:,} at most are read of such a file")
        return file.read()


def look(root: Path, path: Path) -> os.stat_result:
    """Tell size and times of a file without opening it. Raises as `opened` does."""
    with _within(root, path) as (here, name):
        return _looked_at(name, here, path)


def fault(found: os.stat_result) -> str | None:
    """Say what somebody has put in the place of a regular file; None if it is one."""
    return None if stat.S_ISREG(found.st_mode) else f"is {_kind(found)}"


def listed(root: Path, folder: Path) -> dict[str, os.stat_result]:
    """List what is in a folder below the lake's, by name, without following anything. Raises as `opened` does."""
    with _within(root, folder / "any") as (here, _), os.scandir(here) as entries:
        found = {}
        for entry in entries:
            with suppress(FileNotFoundError):  # removed meanwhile
                found[entry.name] = entry.stat(follow_symlinks=False)
        return found


def look_at_all(root: Path, folder: Path, names: Iterable[str]) -> dict[str, os.stat_result]:
    """Tell size and times of those of these files, named relative to the folder, that are there.

    Raises IrregularError for the first that is no file, or lies behind a link: before libraries open many of them by path.
    """
    found = {}
    by_folder = defaultdict[str, list[str]](list)
    for name in names:
        at, _, last = name.rpartition("/")
        by_folder[at].append(last)
    for at, lasts in by_folder.items():
        with suppress(FileNotFoundError), _within(root, folder / at / "any") as (here, _):
            for last in lasts:
                if state := _if_there(last, here, folder / at):
                    found[f"{at}/{last}" if at else last] = state
    return found


def require_unlinked(root: Path, folder: Path) -> None:
    """Raise IrregularError for a link in a folder, at any depth, or on the way to it: before libraries write there by path."""
    with suppress(FileNotFoundError), _within(root, folder / "any") as (here, _):
        for at, folders, files, within in os.fwalk(".", dir_fd=here, follow_symlinks=False):
            for name in (*folders, *files):
                with suppress(FileNotFoundError):  # a lake that runs removes files meanwhile
                    found = os.stat(name, dir_fd=within, follow_symlinks=False)
                    if stat.S_ISLNK(found.st_mode):
                        raise IrregularError(folder / at / name, f"is {_kind(found)}")


def write_whole(root: Path, path: Path, content: bytes, *, flush: bool = True) -> None:
    """Write a file so that a reader finds the old content or the new, never a part; with `flush` also after a power cut.

    Raises IrregularError where no file of ours stands in its place.
    """
    with _within(root, path, make=True) as (here, name):
        with suppress(FileNotFoundError):
            _looked_at(name, here, path)
        beside = f".{name}.{secrets.token_hex(4)}.new"
        try:
            with os.fdopen(os.open(beside, NEW | GUARDED, 0o666, dir_fd=here), "wb") as file:
                file.write(content)
                file.flush()
                if flush:
                    os.fsync(file.fileno())
            os.rename(beside, name, src_dir_fd=here, dst_dir_fd=here)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside, dir_fd=here)
            raise
        if flush:
            os.fsync(here)


def create(root: Path, path: Path) -> int:
    """Make a file that is not there yet; return its descriptor, for appending. Raises FileExistsError, IrregularError."""
    with _within(root, path, make=True) as (here, name):
        return _regular(name, here, path, NEW)


def append(root: Path, path: Path) -> int:
    """Open a file for reading and appending, made if it is not there; return its descriptor. Raises IrregularError."""
    with _within(root, path, make=True) as (here, name):
        return _regular(name, here, path, os.O_RDWR | os.O_APPEND | os.O_CREAT)


def make_folder(root: Path, path: Path, mode: int = 0o777) -> None:
    """Make a folder, and those on the way to it, unless they are there. Raises IrregularError."""
    with _within(root, path, make=True) as (here, name):
        os.close(_entered(name, here, (path,), mode))


def remove(root: Path, path: Path) -> None:
    """Remove what stands there, a folder with all that is in it, a link without what it leads to; it may be gone already."""
    with suppress(FileNotFoundError), _within(root, path) as (here, name):
        if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=here)
        else:
            os.unlink(name, dir_fd=here)


def move(root: Path, path: Path, target: Path) -> None:
    """Give a file or a folder another name below the lake's folder, and let both names outlast a power cut."""
    with _within(root, path) as (here, name), _within(root, target, make=True) as (there, new):
        os.rename(name, new, src_dir_fd=here, dst_dir_fd=there)
        os.fsync(there)
        os.fsync(here)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    descriptor = os.open(folder, FOLDER)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _within(root: Path, path: Path, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder that a path below `root` is in; give its descriptor, and the name that the path ends with."""
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
    # As text: this is done for each of many thousands of files, and Path.relative_to takes as long as opening one.
    text, base = os.fspath(path), os.fspath(root)
    start = 0 if base == "." else len(base.rstrip("/")) + 1
    parts = text[start:].split("/") if start == 0 or text.startswith(f"{base.rstrip('/')}/") else []
    try:
        is_name = b"\0" not in os.fsencode(text)
    except UnicodeError:
        is_name = False
    if not is_name or not text[start:] or not parts or ".." in parts or text.startswith("/") > base.startswith("/"):
        raise IrregularError(path, f"is no place below {root}")
    return parts


def _entered(name: str, here: int, path: tuple[Path | str, ...], mode: int | None) -> int:
    if mode is not None:
        with suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=here)
    try:
        return os.open(name, FOLDER | os.O_NOFOLLOW, dir_fd=here)
    except OSError as error:
        raise _told(error, name, here, Path(*path), stat.S_ISDIR) from None


def _regular(name: str, here: int, path: Path, flags: int) -> int:
    try:
        descriptor = os.open(name, flags | GUARDED, 0o666, dir_fd=here)
    except OSError as error:
        raise _told(error, name, here, path, stat.S_ISREG) from None
    if what := fault(os.fstat(descriptor)):
        os.close(descriptor)
        raise IrregularError(path, what)
    return descriptor


def _looked_at(name: str, here: int, path: Path) -> os.stat_result:
    found = os.stat(name, dir_fd=here, follow_symlinks=False)
    if what := fault(found):
        raise IrregularError(path, what)
    return found


def _if_there(name: str, here: int, folder: Path) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if what := fault(found):
        raise IrregularError(folder / name, what)
    return found


def _told(error: OSError, name: str, here: int, path: Path, is_wanted: Callable[[int], bool]) -> OSError:
    """Say what stands there, if that is why it cannot be opened; else name the whole path."""
    with suppress(OSError):
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
        if not is_wanted(found.st_mode):
            return IrregularError(path, f"is {_kind(found)}")
    return OSError(error.errno, error.strerror, str(path))


def _kind(found: os.stat_result) -> str:
    return next((what for is_one, what in KINDS if is_one(found.st_mode)), "a device, and no file")
