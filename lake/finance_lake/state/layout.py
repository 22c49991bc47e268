"""Where things are below `data/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TICKS = "ticks"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Layout:
    """The folders of one lake. All of its state is below one root, so that no half of it can be lost alone."""

    root: Path

    @property
    def identity(self) -> Path:
        """The lake's birth certificate."""
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
    def checkpoint(self) -> Path:
        """The streaming query's checkpoint."""
        return self.root / "checkpoints" / "finance"

    @property
    def ledgers(self) -> Path:
        """What each run of a producer says of its ticks."""
        return self.root / "ledger"

    @property
    def redrive_journal(self) -> Path:
        """There while a redrive is under way."""
        return self.root / "redrive.json"

    @property
    def verdict(self) -> Path:
        """What verify said last."""
        return self.root / "run" / "verdict.json"

    def table(self, name: str) -> Path:
        """The folder of the table called `ticks` or `quarantine`."""
        return {TICKS: self.ticks, QUARANTINE: self.quarantine}[name]
