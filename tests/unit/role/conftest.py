"""Fixtures for the scripts that start a JVM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def java(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a folder whose `java` is the script FAKE_JAVA of the test's module."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "java").write_text(request.module.FAKE_JAVA)
    (folder / "java").chmod(0o755)
    return folder
