"""The Makefile in checkouts with unusual paths, and its messages when a step fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ["plain", "a folder with spaces", "it's", 'a "quoted" one', "dürr 中", "a&b;c", "(1)"]
READY = (".venv/.ready", "build/jars/.ready")


@pytest.fixture(params=FOLDERS)
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Create a checkout that already has a virtualenv, with a Python that the test writes."""
    folder = tmp_path / str(request.param)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "build" / "jars").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    for name in ("requirements", "jars", "local", "role"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / ".env.example", folder)
    for ready in READY:
        (folder / ready).touch()
    return folder


def make(checkout: Path, script: str, *words: str) -> subprocess.CompletedProcess[str]:
    python = checkout / ".venv" / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *words], cwd=checkout, env=environment, capture_output=True, text=True)


def test_a_step_that_fails_names_its_reason_and_its_log(checkout: Path) -> None:
    made = make(checkout, "echo first; echo 'the reason' >&2; exit 1", "build/spark.jsa")
    assert made.returncode != 0
    assert "the reason" in made.stderr
    assert "The full output is in build/spark.jsa.log" in made.stderr
    assert (checkout / "build" / "spark.jsa.log").read_text() == "first\nthe reason\n"


def test_the_lake_starts_from_any_folder(checkout: Path) -> None:
    made = make(checkout, 'echo "started $*"; touch build/spark.jsa', "local")
    assert made.returncode == 0, made.stderr
    assert "started -m finance_job.archive build/spark.jsa" in (checkout / "build" / "spark.jsa.log").read_text()
    assert made.stdout.splitlines()[-1] == "started -m finance_local"


def test_reset_needs_no_virtualenv(checkout: Path) -> None:
    made = make(checkout, "", "reset")
    assert "There is nothing at data" in made.stdout, made.stderr
