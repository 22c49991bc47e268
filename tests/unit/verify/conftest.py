"""The lake of these tests: two partitions, three batches, malformed records, a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.lakes import BAD, GOOD, BuiltLake, numbered
from tests.support.tampering import write_ledger

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    """Create partition 0 with ticks 0 to 9, bad 10, ticks 11 to 15; partition 1 with good 0, bad 1 and 2."""
    built = BuiltLake(tmp_path, partitions=2)
    built.store([*numbered(10), BAD])
    built.store([GOOD, BAD, BAD], partition=1)
    built.store(numbered(5, first=10))
    write_ledger(built, {"acknowledged": [[0, 14]]})
    return built
