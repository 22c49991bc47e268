"""A small lake, for tests of the job that change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.lakes import BAD, BuiltLake, made_once, numbered

if TYPE_CHECKING:
    from pathlib import Path


@made_once
def one_batch(folder: Path) -> BuiltLake:
    built = BuiltLake(folder)
    built.store([*numbered(5), BAD])
    return built


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    """Return a lake with one batch: five ticks and a malformed record."""
    return one_batch(tmp_path)
