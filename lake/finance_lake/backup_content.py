"""What a backup of a running lake contains: versions of its tables that belong together, and the files that they need.

The job commits a batch to the quarantine first, then to ticks. If ticks get no commit while both newest versions are read, both
tables were at these versions at one moment. A crash of the job at that moment would have left the same two tables, so the job
continues from them. Derived tables are read before ticks, so none of them knows ticks that the backup lacks.
"""

from __future__ import annotations

import re
import time
from stat import S_ISDIR
from typing import TYPE_CHECKING, NamedTuple

from finance_role import beneath
from finance_storage import delta_log
from finance_storage.accounting import ahead
from finance_storage.commit_metadata import in_both
from finance_storage.delta_log import LogTail
from finance_storage.delta_table import add_actions, commits, open_table
from finance_storage.derived_tables import positions_of
from finance_storage.errors import FILL, NoLakeError, UnreadableError
from finance_storage.files import literal, log_files
from finance_storage.lake_identity import read_identity
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from finance_kafka.offsets import Offsets
    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.lake_identity import Identity
    from finance_storage.paths import LakePaths

POLL_SECONDS = 0.05
MAX_POLLS = 100
NUMBER = re.compile(r"\d{20}")


class Moment(NamedTuple):
    """The tables of a lake at one moment.

    Attributes:
        identity: identity of the lake
        versions: version of each table, by the name of its folder
        position: the next offset that ticks need, by Kafka partition

    """

    identity: Identity
    versions: dict[str, int]
    position: Offsets


class TableFiles(NamedTuple):
    """The files of a table at a version, by path relative to its folder.

    Attributes:
        log: of its log, the newest first; clean-up may remove the oldest meanwhile
        live: data files that the version has
        replaced: other data files that the log names, for reading earlier versions; VACUUM may remove them meanwhile

    """

    log: list[str]
    live: set[str]
    replaced: set[str]


def one_moment(paths: LakePaths[Path]) -> Moment:
    """Return versions of all tables that belong together. Raises NoLakeError, UnreadableError, DeltaError, CorruptStateError.

    It waits for a moment at which both tables have the same position. If there is none, because the job was killed between
    two commits, the quarantine is ahead, and the job completes that batch at its next start.
    """
    if (identity := read_identity(paths)) is None:
        raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
    derived = {paths.derived(name).name: LogTail(paths.derived(name)).poll() for name in positions_of(paths)}
    ticks, quarantine = (LogTail(paths.table(name)) for name in (TICKS, QUARANTINE))
    found = None
    for _ in range(MAX_POLLS):
        at = ticks.poll(), quarantine.poll()
        if at == (None, None):
            raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
        if None in at:
            missing = paths.table((TICKS, QUARANTINE)[at.index(None)])
            raise UnreadableError(f"The table {missing} is missing: `make recover` repairs it.")
        if ticks.poll() == at[0]:
            found = at
            if _same_position(paths, at, identity):
                break
        time.sleep(POLL_SECONDS)
    if found is None:
        raise UnreadableError(f"{paths.ticks} gets commits faster than its log can be read: try again when there are fewer.")
    metadata = _metadata(paths.ticks, found[0])
    versions = {**derived, paths.ticks.name: found[0], paths.quarantine.name: found[1]}
    present = {name: version for name, version in versions.items() if version is not None}
    return Moment(identity, present, metadata.position if metadata else dict(identity.first))


def _same_position(paths: LakePaths[Path], at: tuple[int | None, ...], identity: Identity) -> bool:
    ticks, quarantine = (_metadata(paths.table(name), version) for name, version in zip((TICKS, QUARANTINE), at, strict=True))
    if ticks is None or quarantine is None:
        return True
    return not ahead(ticks.position, quarantine.position, identity) and not in_both(ticks, quarantine)


def _metadata(folder: Path, version: int | None) -> CommitMetadata | None:
    newest = None if version is None else next(commits(folder, version), None)
    return newest.metadata if newest else None


def files_of(folder: Path, version: int) -> TableFiles:
    """Return the files of the table in a folder at a version. Raises UnreadableError, DeltaError."""
    if (table := open_table(folder, version)) is None:
        raise UnreadableError(f"The table {folder} is missing: `make recover` repairs it.")
    live = {literal(path) for path in add_actions(table).column("path").to_pylist()}
    log = sorted((name for name in log_files(folder) if _is_part(name, version)), reverse=True)
    named = {name for entry in log if delta_log.ENTRY.fullmatch(entry) for name in _data_files(folder, int(entry[:20]))}
    return TableFiles([f"_delta_log/{name}" for name in log], live, named - live)


def _is_part(name: str, version: int) -> bool:
    """Whether a file belongs to the log up to a version.

    `_last_checkpoint` does not: it may name a later version soon, and readers find the newest log checkpoint without it.
    """
    numbers = NUMBER.findall(name)
    return name[:1].isdigit() and bool(numbers) and max(map(int, numbers)) <= version


def _data_files(folder: Path, version: int) -> set[str]:
    try:
        return delta_log.data_files(folder, version)
    except FileNotFoundError:  # removed meanwhile, because it is older than a week
        return set()


def other_files(paths: LakePaths[Path]) -> Iterator[str]:
    """Yield the files beside the tables, by path relative to the lake: ledgers, manifests, and the identity of an old lake."""
    for name in _listed(paths, paths.ledgers):
        if name.endswith(".jsonl"):
            yield f"{paths.ledgers.name}/{name}"
    for day, is_folder in _listed(paths, paths.seals).items():
        for name in _listed(paths, paths.seals / day) if is_folder else ():
            if name[:1].isdigit() and name.endswith(".json"):
                yield f"{paths.seals.name}/{day}/{name}"
    if paths.before_tables.name in _listed(paths, paths.root):
        yield paths.before_tables.name


def _listed(paths: LakePaths[Path], folder: Path) -> dict[str, bool]:
    """Return the names in a folder, and whether each is a folder; empty if it does not exist."""
    try:
        return {name: S_ISDIR(status.st_mode) for name, status in sorted(beneath.listed(paths.root, folder).items())}
    except FileNotFoundError:
        return {}
