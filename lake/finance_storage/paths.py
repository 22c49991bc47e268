"""Where things are below `data/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TICKS = "ticks"
QUARANTINE = "quarantine"


@dataclass(frozen=True)
class LakePaths:
    """The folders of one lake. All of its state is below one root, so that no half of it can be lost alone."""

    root: Path

    @property
    def before_tables(self) -> Path:
        """Who the lake is, in lakes made before version 0.2; now the tables say it themselves."""
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
        """Spark's checkpoints, one for each start of the query; each is thrown away with it."""
        return self.root / "run" / "spark"

    @property
    def aside(self) -> Path:
        """What repairs have replaced, and what an older version left behind."""
        return self.root / "aside"

    @property
    def ledgers(self) -> Path:
        """What each run of a producer says of its ticks."""
        return self.root / "ledger"

    @property
    def verdict(self) -> Path:
        """What verify said last."""
        return self.root / "run" / "verdict.json"

    def table(self, name: str) -> Path:
        """The folder of the table called `ticks` or `quarantine`."""
        return {TICKS: self.ticks, QUARANTINE: self.quarantine}[name]
