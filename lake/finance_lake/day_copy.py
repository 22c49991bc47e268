"""Copy a sealed day: its live data files and its manifest, as `financelake check` proves it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from finance_lake.query.snapshot import open_snapshot
from finance_role import beneath
from finance_storage import place
from finance_storage.errors import RequestError
from finance_storage.seals import manifest_file

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.paths import LakePaths
    from finance_storage.seals import Manifest


def copy_day(paths: LakePaths, manifest: Manifest, target: Path) -> Path:
    """Copy a day into a new folder below `target`, named as in the table, and return that folder.

    Only files that the table's log names are copied: the table's own folder may still have files that maintenance has replaced.
    Raises RequestError if the folder exists or cannot be written.
    """
    name = f"date={manifest.date}"
    live = [paths.ticks / file.name for file in open_snapshot(paths).ticks if file.name.startswith(f"{name}/")]
    folder = target / name
    try:
        folder.mkdir(parents=True)
        for path in (*live, manifest_file(paths, manifest.date, manifest.revision)):
            with place.opened(paths.root, path) as source, (folder / path.name).open("xb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
    except FileExistsError:
        raise RequestError(f"{folder} already exists: name another folder.") from None
    except beneath.IrregularError:
        raise
    except OSError as error:
        raise RequestError(f"{name} cannot be copied to {target}: {error.strerror or error}.") from None
    return folder
