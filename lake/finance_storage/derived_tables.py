"""Derived tables on the disk: which there are, up to which version of the ticks each is, and why one is paused.

The job writes them (finance_job.derived). While a table is paused, `data/run/derived/<name>.json` says why; status and
dashboard show it, and the job never reads it.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 (msgspec reads the annotations)
from stat import S_ISDIR
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from deltalake.exceptions import DeltaError

from finance_role import beneath
from finance_storage import place
from finance_storage.delta_table import open_table
from finance_storage.errors import UnreadableError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_storage.paths import LakePaths

PROPERTY = "financelake.lake"  # id of the lake that a derived table belongs to
PREFIX = "finance_"
SUFFIX = ".json"
MAX_BYTES = 10_000


class Pause(msgspec.Struct, frozen=True):
    """Why a derived table does not follow the ticks at the moment.

    Attributes:
        reason: what failed, in one line
        since: when it failed first, UTC
        retry: when it is tried again, UTC

    """

    reason: str
    since: datetime
    retry: datetime


class DerivedState(NamedTuple):
    """How far a derived table is: `as_of` is the version of the ticks it was computed from; None before the first revision."""

    name: str
    as_of: int | None
    pause: Pause | None


def transaction_id(lake: str, name: str) -> str:
    """Return the id of a table's Delta transactions; the version of the newest one is the table's position."""
    return f"financelake:{lake}:{name}"


def position(table: DeltaTable, name: str) -> int | None:
    """Return the version of the ticks that the newest revision was computed from; None before the first."""
    lake = table.metadata().configuration.get(PROPERTY, "")
    version = table.transaction_version(transaction_id(lake, name))
    return None if version is None else int(version)


def states(paths: LakePaths) -> tuple[DerivedState, ...]:
    """Return the state of each derived table, by name. Raises UnreadableError if the log of one is damaged."""
    positions, paused = positions_of(paths), pauses(paths)
    return tuple(DerivedState(name, positions.get(name), paused.get(name)) for name in sorted(positions.keys() | paused.keys()))


def pauses(paths: LakePaths) -> dict[str, Pause]:
    """Return the tables that are paused, by name. A file that is not valid, or is no file, counts as none."""
    try:
        files = beneath.listed(paths.folder, paths.derived_run)
    except OSError:
        return {}
    found = {name.removesuffix(SUFFIX): _pause(paths, name) for name in files if name.endswith(SUFFIX)}
    return {name: pause for name, pause in found.items() if pause}


def pause_file(paths: LakePaths, name: str) -> Path:
    """Return where the pause of a table is written."""
    return paths.derived_run / f"{name}{SUFFIX}"


def _pause(paths: LakePaths, file: str) -> Pause | None:
    try:
        return msgspec.json.decode(beneath.read(paths.folder, paths.derived_run / file, MAX_BYTES), type=Pause)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def positions_of(paths: LakePaths) -> dict[str, int | None]:
    """Return the position of each table in a folder `finance_*` that names the lake it belongs to.

    Raises UnreadableError if the log of one is damaged.
    """
    folders = [name for name, status in place.listed(paths.root, paths.root).items() if S_ISDIR(status.st_mode)]
    found: dict[str, int | None] = {}
    for name in (folder.removeprefix(PREFIX) for folder in folders if folder.startswith(PREFIX)):
        folder = paths.derived(name)
        try:
            table = open_table(folder)
        except DeltaError as error:
            raise UnreadableError(f"{folder} cannot be read: {first_line(error)}.") from None
        if table and PROPERTY in table.metadata().configuration:
            found[name] = position(table, name)
    return found
