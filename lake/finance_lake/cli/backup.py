"""`financelake backup`: a copy of the lake that can be restored, made while the job runs."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 (typer reads the annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from finance_lake.cli.app import AsJson, Data, hint, paths_of, say, usable_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import Progress

    from finance_lake.backup import Done


def backup(
    dest: Annotated[
        Path, typer.Argument(metavar="DEST", callback=usable_folder, help="The backup's folder; it is made, or renewed.")
    ],
    *,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Copy the lake to a folder, as it is at one moment; the job may run. The copy is a lake, and is verified.

    An earlier backup of the same lake is renewed: what it has already is not copied again. It stays as it is until the new one
    is whole. The topic is not copied: a restored lake reads from Kafka what came after the backup. See docs/OPERATE.md.

    Exit codes: 0 done, 2 no lake, or DEST cannot be used, 1 a file could not be read or written.
    If the copy is not whole: the code of `financelake verify`. No backup is made then, and an earlier one stays.
    """
    from finance_lake.backup import BackupFailedError
    from finance_lake.backup import backup as made
    from finance_lake.cli.display import as_json as encoded
    from finance_lake.cli.display import progress

    try:
        with progress() as bar:
            done = made(paths_of(data), dest, _advancing(bar))
    except BackupFailedError as error:
        say(str(error))
        raise typer.Exit(error.code) from None
    print(encoded(done) if as_json else text(done, dest))
    if not as_json:
        hint(f'`financelake verify --no-broker --data "{dest}"` proves it again; docs/OPERATE.md says how to restore it.')


def text(done: Done, dest: Path) -> str:
    """Return what a backup contains, for people."""
    from finance_role.text import plain

    note = done.note
    ends = ",".join(f"{partition}:{offset}" for partition, offset in sorted(note.position.items()))
    when = f"{note.taken_at:%Y-%m-%d %H:%M:%S} UTC"
    copied = f"{done.copied:,} copied ({done.copied_bytes:,} bytes), {note.files - done.copied:,} kept from the backup before"
    return (
        f"{note.ticks:,} ticks and {note.quarantined:,} quarantined records up to {ends}, as of {when}\n"
        f"{note.files:,} files with {note.bytes:,} bytes in {plain(dest)}: {copied}. The copy is verified."
    )


def _advancing(bar: Progress) -> Callable[[str, int, int], None]:
    task = bar.add_task("", total=None)
    return lambda what, completed, of: bar.update(task, description=what, completed=completed, total=of)
