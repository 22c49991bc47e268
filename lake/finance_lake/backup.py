"""Back up a lake while the job runs: a folder that is a lake itself, with the tables as they were at one moment.

It has no topic. The job continues from a restored backup's position, and reads the rest from Kafka again (docs/OPERATE.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from deltalake.exceptions import DeltaError

from finance_kafka.offsets import Offsets  # noqa: TC001 (msgspec reads the annotations)
from finance_lake.backup_content import TableFiles, files_of, one_moment, other_files
from finance_lake.backup_folder import BackupFolder, new_folder
from finance_role import beneath
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.errors import FILL, LakeError, NoLakeError, RequestError, UnreadableError, first_line
from finance_storage.files import parquet
from finance_storage.lake_identity import CorruptStateError
from finance_storage.paths import LakePaths
from finance_storage.seals import sealed
from finance_verify.context import VerifyContext
from finance_verify.data_files import live_files
from finance_verify.verdict import Code
from finance_verify.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from finance_lake.backup_content import Moment

FORMAT = 1
# What a backup has; `run` appears when verify reads it.
PARTS = {"ledger", "seals", "run", "lake.json", "backup.json"}


class BackupFailedError(LakeError):
    """No backup was made, and an earlier one is as it was. `code` is the exit code: 1, or that of verify."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Note(msgspec.Struct, frozen=True):
    """What a backup contains, in its file `backup.json`.

    Attributes:
        format: version of this format
        lake, topic, cluster: id of the lake, its topic, and id of the Kafka cluster
        taken_at: when its tables were read, UTC
        versions: version of each table, by the name of its folder
        position: the next offset that a lake restored from it needs, by Kafka partition
        ticks, quarantined: rows of the two tables
        files, bytes: number of its files without this one, and their size

    """

    format: int
    lake: str
    topic: str
    cluster: str
    taken_at: datetime
    versions: dict[str, int]
    position: Offsets
    ticks: int
    quarantined: int
    files: int
    bytes: int


class Done(msgspec.Struct, frozen=True):
    """A backup that was made: its note, and how much of it was copied because the earlier backup did not have it."""

    note: Note
    copied: int
    copied_bytes: int


def backup(lake: LakePaths, target: Path, advance: Callable[[str, int, int], None] = lambda *_: None) -> Done:
    """Make or renew the backup of a lake in the folder `target`; the lake may run.

    `advance` is called with what is being done, and how much of it is done of how much. Raises RequestError if `target` cannot
    be used, NoLakeError, UnreadableError, IrregularError, and BackupFailedError.
    """
    if not isinstance(lake.root, Path):
        raise RequestError(
            f"{lake.root} is in an object store: back it up with the store's own tools, such as versions of its objects."
        )
    paths, target = LakePaths(lake.root), target.resolve()
    _require_outside(paths, target)
    try:
        with new_folder(paths.root, target) as folder:
            taken_at = datetime.now(UTC)
            ledgers = [name for name in other_files(paths) if name.startswith(f"{paths.ledgers.name}/")]
            _add_all(folder, ledgers, advance)  # first, as verify does: what they call acknowledged is in the tables then
            moment = one_moment(paths)
            _require_own(target, moment)
            _add_tables(paths, folder, moment, advance)
            _add_all(folder, [name for name in other_files(paths) if name not in ledgers], advance)
            note = _checked(folder, moment, taken_at, advance)
            folder.write("backup.json", msgspec.json.format(msgspec.json.encode(note), indent=1) + b"\n")
            folder.publish()
            return Done(note, folder.copied, folder.copied_bytes)
    except beneath.IrregularError:
        raise
    except (DeltaError, CorruptStateError) as error:
        raise UnreadableError(f"{first_line(error)}. `make verify` says what is wrong with the lake.") from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise BackupFailedError(f"There is no new backup at {target}: {where}{error.strerror or error}.") from None


def _require_outside(paths: LakePaths[Path], target: Path) -> None:
    """Raise RequestError if `target` cannot be the place of a backup, whatever is there; NoLakeError."""
    if not paths.root.is_dir():
        raise NoLakeError(f"There is no lake at {paths.root} yet: {FILL}")
    lake = paths.root.resolve()
    if target == lake or lake in target.parents:
        raise RequestError(f"{target} is inside of the lake at {lake}: name a folder outside, best on another disk.")
    if target in lake.parents:
        raise RequestError(f"{target} contains the lake at {lake}: name a folder outside of it, best on another disk.")
    if not target.parent.is_dir():
        raise RequestError(f"{target.parent} is not there: create the folder, or mount its disk, then try again.")
    if target.is_mount():
        raise RequestError(f"{target} is where a disk is mounted, and cannot be replaced: name a folder in it.")


def _require_own(target: Path, moment: Moment) -> None:
    """Raise RequestError if something is at `target` that is not an earlier backup of this lake."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    note = _note_in(target)
    if note is None:
        what = "a lake, and no backup" if LakePaths(target).ticks.exists() else "no backup"
        raise RequestError(f"{target} is {what}: it is left as it is. Name another folder.")
    if note.lake != moment.identity.lake:
        raise RequestError(f"{target} is the backup of another lake, {note.lake}: name another folder.")
    if strange := sorted(name for name in beneath.listed(target, target) if name not in PARTS and name not in note.versions):
        raise RequestError(f"{target} has {strange[0]!a}, which no backup has: it would be lost. Name another folder.")
    if any(offset > moment.position.get(partition, 0) for partition, offset in note.position.items()):
        raise RequestError(
            f"The backup {target} is ahead of the lake, which was restored from an older one: name another folder."
        )


def _note_in(target: Path) -> Note | None:
    paths = LakePaths(target)
    try:
        return msgspec.json.decode(beneath.read(target, paths.backup_note), type=Note)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise RequestError(f"{paths.backup_note} is damaged ({error}): name another folder.") from None


def _add_tables(paths: LakePaths[Path], folder: BackupFolder, moment: Moment, advance: Callable[[str, int, int], None]) -> None:
    for name, version in moment.versions.items():
        files = files_of(paths.root / name, version)
        _add_log(folder, name, files)
        _add_all(folder, [f"{name}/{file}" for file in sorted(files.live)], advance)
        for file in sorted(files.replaced):
            _added_if_there(folder, f"{name}/{file}")


def _add_log(folder: BackupFolder, table: str, files: TableFiles) -> None:
    """Add a log, the newest entry first: if clean-up has removed one meanwhile, all older ones are left out."""
    is_there = True
    for name in files.log:
        if is_there or not name.endswith(".json"):
            is_there &= _added_if_there(folder, f"{table}/{name}")


def _added_if_there(folder: BackupFolder, name: str) -> bool:
    try:
        folder.add(name)
    except FileNotFoundError:
        return False
    return True


def _add_all(folder: BackupFolder, names: list[str], advance: Callable[[str, int, int], None]) -> None:
    for number, name in enumerate(names, 1):
        folder.add(name)
        advance("copying", number, len(names))


def _checked(folder: BackupFolder, moment: Moment, taken_at: datetime, advance: Callable[[str, int, int], None]) -> Note:
    """Verify the files of a backup, and describe it. Raises BackupFailedError."""
    copy, identity = LakePaths(folder.folder), moment.identity
    report = verify(copy, VerifyContext(identity.topic, ask=None, advance=lambda rows, of: advance("checking", rows, of)))
    wrong = [str(finding) for finding in report.findings if finding.code is not Code.PRODUCER]
    wrong += [*_derived_faults(copy, moment), *_manifest_faults(copy)]
    if wrong:
        remedy = "`financelake verify` says whether the lake has it too; if not, back up to another folder"
        raise BackupFailedError(
            "\n".join([*wrong, f"The copy is not whole, and no backup was made: {remedy}."]), report.pipeline or Code.CORRUPT
        )
    figures = report.figures
    return Note(
        format=FORMAT,
        lake=identity.lake,
        topic=identity.topic,
        cluster=identity.current.cluster,
        taken_at=taken_at,
        versions=moment.versions,
        position=moment.position,
        ticks=figures.rows,
        quarantined=figures.quarantined,
        files=folder.files,
        bytes=folder.bytes,
    )


def _derived_faults(copy: LakePaths[Path], moment: Moment) -> Iterator[str]:
    """Yield a sentence for each data file of a derived table that is not what the log says; verify does not read them."""
    for name in moment.versions.keys() - {copy.ticks.name, copy.quarantine.name}:
        table = open_table(copy.root / name, moment.versions[name])
        for file in live_files(table, name, copy.root / name) if table else ():
            try:
                with parquet(file.folder, file.name, file.size) as opened:
                    rows = sum(batch.num_rows for batch in opened.iter_batches(use_threads=False))
            except (OSError, pa.ArrowException, ValueError) as error:
                yield f"corrupt: {name}/{file.name} cannot be read: {first_line(error)}"
                continue
            if file.rows not in (None, rows):
                yield f"corrupt: {name}/{file.name} has {rows} rows, the log says {file.rows}"


def _manifest_faults(copy: LakePaths[Path]) -> Iterator[str]:
    table = open_table(copy.ticks)
    metadata = newest_metadata(table, copy.ticks) if table else None
    try:
        list(sealed(copy, metadata.finalized_until if metadata else None))
    except UnreadableError as error:
        yield f"corrupt: {error}"
