"""Mount a small volume, and fill it."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL_DISK_MB = 600


@contextmanager
def small_disk(folder: Path, *how: str) -> Iterator[Path | None]:
    """Mount a small volume on the folder; yield None if that is not permitted. `how` are additional mount options."""
    options = ",".join([f"size={SMALL_DISK_MB}m,mode=0755", *how])
    mount = shutil.which("mount")
    mounted = mount and subprocess.run([mount, "-t", "tmpfs", "-o", options, "chaos", folder], check=False).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=False)


@contextmanager
def bound(folder: Path, place: Path) -> Iterator[bool]:
    """Bind-mount a folder at another place; yield whether that is permitted."""
    mount = shutil.which("mount")
    mounted = bool(mount) and subprocess.run([str(mount), "--bind", folder, place], check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", place], check=False)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Fill the volume completely for the duration."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb") as file:
        while True:
            file.write(b"\0" * 1024 * 1024)
    try:
        yield
    finally:
        filler.unlink()
