"""Open the log and data files of a table. Guard, verify, the job and readers all open them through this module.

A lake is untrusted: its log may name a file outside of it, a pipe or a link, and may itself contain such things. So each file
is opened below the lake's folder (`finance_role.beneath`), by exactly the name that the log has for it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from finance_role import beneath
from finance_storage import place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_storage.place import Place

# About the size of a commit of 100,000 data files; delta-rs needs several times as much memory to read it.
MAX_ENTRY_BYTES = 128 * 1024 * 1024

DESCRIPTORS = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else None


class LogError(DeltaError):
    """The log of a table cannot be read safely; the message names the file."""


def literal(path: str) -> str:
    """Return a data file's path relative to its table's folder. The log stores it URL-encoded; it is decoded once."""
    return unquote(path, errors="surrogateescape") if "%" in path else path


@contextmanager
def parquet(folder: Place, name: str, size: int | None = None) -> Iterator[pq.ParquetFile]:
    """Open a data file of the table in a folder; page checksums are verified.

    Raises IrregularError if it is not a regular file of the lake or its size is not `size`, and whatever else opening raises.
    """
    with place.outages_named(folder), place.opened(folder.parent, folder / name) as file:
        if size is not None and (actual := file.seek(0, os.SEEK_END)) != size:
            raise beneath.IrregularError(folder / name, f"has {actual} bytes, the log says {size}")
        file.seek(0)
        with pq.ParquetFile(_native(file), page_checksum_verification=True) as opened:
            yield opened


def _native(file: BinaryIO) -> BinaryIO | str:
    """Return a path by which Arrow opens the open file itself, because threads that read through Python wait for each other."""
    is_a_descriptor = DESCRIPTORS and not isinstance(file, pa.NativeFile)
    return f"{DESCRIPTORS}/{file.fileno()}" if is_a_descriptor else file


def entry_path(folder: Place, version: int) -> Place:
    """Return the path of a version's entry in the log of the table in a folder."""
    return folder / "_delta_log" / f"{version:020d}.json"


def read_entry(folder: Place, version: int) -> bytes:
    """Read the entry of a version. Raises FileNotFoundError, LogError."""
    try:
        return place.read(folder.parent, entry_path(folder, version), MAX_ENTRY_BYTES)
    except beneath.IrregularError as error:
        raise LogError(str(error)) from None


def log_files(folder: Place) -> dict[str, os.stat_result]:
    """Return the files in the log of the table in a folder, by name; empty if there is no log. Raises LogError for a link."""
    try:
        return place.listed(folder.parent, folder / "_delta_log")
    except FileNotFoundError:
        return {}
    except beneath.IrregularError as error:
        raise LogError(str(error)) from None


def fault(status: os.stat_result) -> str | None:
    """Return why a log file must not be opened; None if it may be."""
    if reason := beneath.fault(status):
        return reason
    if status.st_size > MAX_ENTRY_BYTES:
        return f"has {status.st_size:,} bytes, more than the limit of {MAX_ENTRY_BYTES:,}"
    return None


def require_readable_log(folder: Place, version: int | None = None) -> None:
    """Raise LogError if opening a table at a version with a library could hang on its log or lead out of the lake.

    An object store has neither links nor pipes, and its log is not listed at each opening.
    """
    if not isinstance(folder, Path):
        return
    last = None if version is None else entry_path(folder, version).name
    for name, status in log_files(folder).items():
        if (reason := fault(status)) and (last is None or name <= last or not name[:1].isdigit()):
            raise LogError(f"{folder / '_delta_log' / name} {reason}")
