"""The files of a table, its log's and its data's: the one way in which guard, proof, job and readers open them.

A lake may come from a stranger: its log may name a file outside of it, a pipe or a link, and may itself hold such things. So
each file is opened below the lake's folder (`finance_role.beneath`), by the name that the log has for it and no other.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote

import pyarrow.parquet as pq
from deltalake.exceptions import DeltaError

from finance_role import beneath

if TYPE_CHECKING:
    from collections.abc import Iterator

# A commit of 100,000 data files has as much; delta-rs takes several times of it in memory.
MAX_ENTRY_BYTES = 128 * 1024 * 1024

DESCRIPTORS = "/proc/self/fd" if Path("/proc/self/fd").is_dir() else None


class LogError(DeltaError):
    """The log of a table holds what nobody can read safely; the message names the file."""


def literal(path: str) -> str:
    """Give the name of a data file, relative to its table's folder: the log writes it as in a URL. It is decoded once."""
    return unquote(path, errors="surrogateescape") if "%" in path else path


@contextmanager
def parquet(folder: Path, name: str, size: int | None = None) -> Iterator[pq.ParquetFile]:
    """Open a data file of the table in a folder; pages are held against their checksums.

    Raises IrregularError for what is no file of the lake, or has another size than this one, and what else opening raises.
    """
    with beneath.opened(folder.parent, folder / name) as file:
        if size is not None and (found := os.fstat(file.fileno()).st_size) != size:
            raise beneath.IrregularError(folder / name, f"has {found} bytes, the log says {size}")
        with pq.ParquetFile(_native(file), page_checksum_verification=True) as opened:
            yield opened


def _native(file: BinaryIO) -> BinaryIO | str:
    """Give a name of the open file that Arrow reads by itself: threads that read through Python wait for each other."""
    return f"{DESCRIPTORS}/{file.fileno()}" if DESCRIPTORS else file


def entry_path(folder: Path, version: int) -> Path:
    """Where the entry of a version is in the log of the table in a folder."""
    return folder / "_delta_log" / f"{version:020d}.json"


def read_entry(folder: Path, version: int) -> bytes:
    """Read the entry of a version. Raises FileNotFoundError, LogError."""
    try:
        return beneath.read(folder.parent, entry_path(folder, version), MAX_ENTRY_BYTES)
    except beneath.IrregularError as error:
        raise LogError(str(error)) from None


def log_files(folder: Path) -> dict[str, os.stat_result]:
    """List the log of the table in a folder, by name; empty if there is none. Raises LogError for a link."""
    try:
        return beneath.listed(folder.parent, folder / "_delta_log")
    except FileNotFoundError:
        return {}
    except beneath.IrregularError as error:
        raise LogError(str(error)) from None


def fault(found: os.stat_result) -> str | None:
    """Say why a file of a log must not be opened; None if it may be."""
    if what := beneath.fault(found):
        return what
    if found.st_size > MAX_ENTRY_BYTES:
        return f"has {found.st_size:,} bytes, and {MAX_ENTRY_BYTES:,} at most are read of such a file"
    return None


def require_readable_log(folder: Path, version: int | None = None) -> None:
    """Raise LogError where a library that opens a table, as of a version, would hang on its log, or be led out of the lake."""
    last = None if version is None else entry_path(folder, version).name
    for name, found in log_files(folder).items():
        if (what := fault(found)) and (last is None or name <= last or not name[:1].isdigit()):
            raise LogError(f"{folder / '_delta_log' / name} {what}")
