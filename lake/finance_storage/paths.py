"""Paths below `data/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TICKS = "ticks"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class LakePaths:
    """The paths of one lake. All of its state is below one root, so that no part of it can be lost on its own."""

    root: Path

    @property
    def before_tables(self) -> Path:
        """The lake's identity, in lakes made before version 0.2; now the tables store it themselves."""
        return self.root / "lake.json"

    @property
    def ticks(self) -> Path:
        """The table of good records."""
        return self.root / "finance_delta"

    @property
    def quarantine(self) -> Path:
        """The table of malformed records."""
        return self.root / "finance_quarantine"

    @property
    def scratch(self) -> Path:
        """Spark's checkpoints, one for each start of the query; each is deleted with the query."""
        return self.root / "run" / "spark"

    @property
    def derived_run(self) -> Path:
        """Scratch files of derived tables, and why one is paused."""
        return self.root / "run" / "derived"

    @property
    def aside(self) -> Path:
        """Files that repairs replaced, or that an older version left behind."""
        return self.root / "aside"

    @property
    def ledgers(self) -> Path:
        """The ledgers of producer runs."""
        return self.root / "ledger"

    @property
    def seals(self) -> Path:
        """The manifests of sealed days."""
        return self.root / "seals"

    @property
    def verdict(self) -> Path:
        """The last verdict of verify."""
        return self.root / "run" / "verdict.json"

    @property
    def backup_note(self) -> Path:
        """What a backup contains (finance_lake.backup); a lake that was restored from one has it too."""
        return self.root / "backup.json"

    def derived(self, name: str) -> Path:
        """Return the folder of a derived table, such as `bars_1m`."""
        return self.root / f"finance_{name}"

    def table(self, name: str) -> Path:
        """Return the folder of the table named `ticks` or `quarantine`."""
        return {TICKS: self.ticks, QUARANTINE: self.quarantine}[name]
