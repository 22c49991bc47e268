"""A small lake, for tests of the job that change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.lakes import BAD, BuiltLake, numbered

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    """Return a lake with one batch: five ticks and a malformed record."""
    built = BuiltLake(tmp_path)
    built.store([*numbered(5), BAD])
    return built
