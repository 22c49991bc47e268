"""Paths of a lake: its content below one place, a folder or a prefix in a bucket; what belongs to processes below DATA_DIR."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Generic, cast

from typing_extensions import TypeVar

from finance_storage.bucket import BucketPath, ObjectStore
from finance_storage.place import Place

if TYPE_CHECKING:
    from finance_role.settings import PlaceSettings

# The type of the lake's place, if it is known: that of a folder has paths that the operating system can open.
P_co = TypeVar("P_co", bound=Place, default=Place, covariant=True)

P = TypeVar("P", bound=Place)

TICKS = "ticks"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class LakePaths(Generic[P_co]):
    """The paths of one lake. All of its state is below one root, so that no part of it can be lost on its own.

    Attributes:
        root: the place of the lake
        processes: folder of this machine's processes, if the lake is in a bucket

    """

    root: P_co
    processes: Path | None = None

    @classmethod
    def of(cls, settings: PlaceSettings, folder: Path | None = None) -> LakePaths[Place]:
        """Return the paths of the lake that the settings name: at LAKE_URI, or in `folder`, by default DATA_DIR."""
        folder = folder or settings.data_dir
        if not settings.lake_uri:
            return LakePaths[Place](folder)
        store = ObjectStore(
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            credentials_file=str((settings.s3_credentials_file or Path()).absolute()),
            cache=str(_cache(folder)),
            cache_bytes=settings.s3_cache_mb << 20,
        )
        return LakePaths[Place](BucketPath.of(store, settings.lake_uri), folder)

    @property
    def folder(self) -> Path:
        """The folder of this machine's processes: locks, heartbeats, scratch files. The lake's, unless that is a bucket."""
        if isinstance(self.root, BucketPath):
            return self.processes or Path("data")
        return self.root

    @property
    def is_in_a_bucket(self) -> bool:
        """Whether the lake is in an object store, and not in a folder."""
        return isinstance(self.root, BucketPath)

    @property
    def before_tables(self) -> P_co:
        """The lake's identity, in lakes made before version 0.2; now the tables store it themselves."""
        return self._at("lake.json")

    @property
    def ticks(self) -> P_co:
        """The table of good records."""
        return self._at("finance_delta")

    @property
    def quarantine(self) -> P_co:
        """The table of malformed records."""
        return self._at("finance_quarantine")

    @property
    def scratch(self) -> Path:
        """Spark's checkpoints, one for each start of the query; each is deleted with the query."""
        return self.folder / "run" / "spark"

    @property
    def derived_run(self) -> Path:
        """Scratch files of derived tables, and why one is paused."""
        return self.folder / "run" / "derived"

    @property
    def aside(self) -> P_co:
        """Files that repairs replaced, or that an older version left behind."""
        return self._at("aside")

    @property
    def ledgers(self) -> P_co:
        """The ledgers of producer runs."""
        return self._at("ledger")

    @property
    def seals(self) -> P_co:
        """The manifests of sealed days."""
        return self._at("seals")

    @property
    def verdict(self) -> Path:
        """The last verdict of verify."""
        return self.folder / "run" / "verdict.json"

    @property
    def backup_note(self) -> Path:
        """What a backup contains (finance_lake.backup); a lake that was restored from one has it too."""
        return self.folder / "backup.json"

    def derived(self, name: str) -> P_co:
        """Return the folder of a derived table, such as `bars_1m`."""
        return self._at(f"finance_{name}")

    def table(self, name: str) -> P_co:
        """Return the folder of the table named `ticks` or `quarantine`."""
        return {TICKS: self.ticks, QUARANTINE: self.quarantine}[name]

    def _at(self, name: str) -> P_co:
        return cast("P_co", self.root / name)


def _cache(folder: Path) -> Path:
    """Return the folder for copies of data files: in DATA_DIR, or a temporary one if that cannot be written."""
    existing = next(above for above in (folder.absolute(), *folder.absolute().parents) if above.exists())
    return folder.absolute() / "run" / "cache" if os.access(existing, os.W_OK) else _temporary()


@lru_cache(1)
def _temporary() -> Path:
    """Return a folder of this process that nobody else can write; it is removed at the end."""
    folder = tempfile.mkdtemp(prefix="financelake-cache-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
