"""The lake of these tests: two partitions, three batches, malformed records, a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.lakes import three_batches
from tests.support.tampering import write_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.lakes import BuiltLake


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    """Return a lake of three batches (tests.support.lakes) and the ledger of its producer."""
    built = three_batches(tmp_path)
    write_ledger(built, {"acknowledged": [[0, 14]]})
    return built
