"""Make a backup's folder: beside the one that it replaces, so that a backup is there as a whole or not at all.

The new folder is `.NAME.part`, in the same folder as NAME. Files that the earlier backup has are hard links to it, all others
are copied. At the end the earlier one is renamed to `.NAME.before`, the new one to NAME, and the earlier one is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from stat import S_IMODE
from typing import TYPE_CHECKING

from finance_role import beneath
from finance_storage.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES = 1 << 20


class BackupFolder:
    """The folder of a backup that is being made.

    Attributes:
        folder: where it is until it is published
        files, bytes: how many files it has, and their size
        copied, copied_bytes: those of them that the earlier backup did not have

    """

    def __init__(self, root: Path, target: Path) -> None:
        """Collect files of the lake at `root` for the backup `target`."""
        self._root = root
        self._target = target
        self._made = set[str]()
        self.folder = _beside(target, "part")
        self.files = self.bytes = self.copied = self.copied_bytes = 0

    def add(self, name: str) -> None:
        """Add a file of the lake, by path relative to it. A file of the same size and time in the earlier backup is kept.

        Raises FileNotFoundError if the lake does not have it, and other OSErrors, each with the file's name.
        """
        status = beneath.status_of(self._root, self._root / name)
        try:
            self._make_parent(name)
            if not self._is_kept(name, status) or not self._link(name):
                self._copy(name, status)
        except (FileNotFoundError, beneath.IrregularError):
            raise
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), name) from None
        self.files += 1
        self.bytes += status.st_size

    def write(self, name: str, content: bytes) -> None:
        """Add a file that the lake does not have."""
        beneath.write_whole(self.folder, self.folder / name, content)

    def publish(self) -> None:
        """Give it the backup's name, once all of it is on the disk."""
        os.sync()
        if self._target.exists():
            self._target.rename(_beside(self._target, "before"))
        self.folder.rename(self._target)
        beneath.sync_folder(self._target.parent)
        shutil.rmtree(_beside(self._target, "before"), ignore_errors=True)

    def _make_parent(self, name: str) -> None:
        parent = name.rpartition("/")[0]
        if parent not in self._made:
            (self.folder / parent).mkdir(parents=True, exist_ok=True)
            self._made.add(parent)

    def _is_kept(self, name: str, status: os.stat_result) -> bool:
        try:
            earlier = beneath.status_of(self._target, self._target / name)
        except FileNotFoundError:
            return False
        return (earlier.st_size, earlier.st_mtime_ns) == (status.st_size, status.st_mtime_ns)

    def _link(self, name: str) -> bool:
        try:
            os.link(self._target / name, self.folder / name, follow_symlinks=False)
        except OSError:  # a file system without hard links, or somebody else's file: it is copied
            return False
        return True

    def _copy(self, name: str, status: os.stat_result) -> None:
        copy = self.folder / name
        with beneath.opened(self._root, self._root / name) as source, copy.open("xb") as target:
            shutil.copyfileobj(source, target, BLOCK_BYTES)
            os.fchmod(target.fileno(), S_IMODE(status.st_mode))
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        self.copied += 1
        self.copied_bytes += status.st_size


@contextmanager
def new_folder(root: Path, target: Path) -> Iterator[BackupFolder]:
    """Make an empty folder beside `target` for a backup of the lake at `root`; if it is not published, it is removed.

    Raises RequestError if another process makes a backup there, and OSError.
    """
    made = BackupFolder(root, target)
    made.folder.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(made.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _lock(lock, made.folder, target)
        _tidy(target)
        os.fchmod(lock, S_IMODE(root.stat().st_mode))  # nobody may read the backup who may not read the lake
        try:
            yield made
        except BaseException:
            shutil.rmtree(made.folder, ignore_errors=True)
            _put_back(target)
            raise
    finally:
        os.close(lock)


def _lock(descriptor: int, folder: Path, target: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(descriptor), folder.lstat())
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:  # another process makes it, or has just published it
        raise RequestError(f"Another backup to {target} is running: wait until it has ended.")


def _tidy(target: Path) -> None:
    """Remove what a backup that was killed has left."""
    for entry in _beside(target, "part").iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    _put_back(target)
    with suppress(FileNotFoundError):
        shutil.rmtree(_beside(target, "before"))


def _put_back(target: Path) -> None:
    """Give the earlier backup its name again, if the new one has not got it."""
    before = _beside(target, "before")
    if before.exists() and not target.exists():
        before.rename(target)


def _beside(target: Path, what: str) -> Path:
    return target.with_name(f".{target.name}.{what}")
