"""A lake written by version 0.1 is taken over at the first start, including its half-committed batch."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import pytest

from finance_storage.paths import LakePaths
from tests.support.stack import ROOT, SHORT_LIVED, Stack, free_port

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.stack

RETENTION = {"KAFKA_RETENTION_HOURS": 1_000_000}  # the retention of the fixture's topic
RECORDS = 467


def unpack(root: Path) -> None:
    with tarfile.open(ROOT / "tests/fixtures/lake-0.1.tar.xz") as archive:
        archive.extractall(root, filter="data")


def test_a_lake_of_version_0_1_is_taken_over_and_then_needs_only_its_tables(own_stack: Stack) -> None:
    unpack(own_stack.paths.root)
    before = own_stack.verify("--no-broker")
    assert before.returncode == 0, before.stdout

    run = own_stack.run("zookeeper kafka topic-init spark-job", **RETENTION)
    run.wait_for("Running:")
    own_stack.wait_until_stored()
    assert run.count("taken over") == 1
    assert run.count("a batch that only the quarantine had is complete") == 1
    assert "Traceback" not in run.text()
    own_stack.assert_complete()
    assert sum(own_stack.stored().values()) == RECORDS
    assert run.stop() == 0
    assert not own_stack.paths.before_tables.exists()

    # Only the two tables and the broker's data, in another folder: it continues without a warning.
    moved = Stack(own_stack.folder / "moved", free_port(), free_port(), "finance", jvm=SHORT_LIVED)
    for part in ("finance_delta", "finance_quarantine", "kafka", "zookeeper"):
        shutil.copytree(own_stack.paths.root / part, moved.paths.root / part)
    try:
        again = moved.run("zookeeper kafka topic-init producer spark-job", MAX_TICKS=100, **RETENTION)
        again.wait_for("batch id=")
        moved.wait_until_stored()
        moved.assert_complete()
        moved.assert_proven()
        assert again.stop() == 0
        assert not [line for line in again.text().splitlines() if "spark-job" in line and ("warn" in line or "taken" in line)]
    finally:
        for started in moved.runs:
            started.kill_everything()


def test_scratch_files_may_be_removed_at_any_stop(stack: Stack) -> None:
    stack.make_topic()
    for _ in range(2):
        stack.send([b'{"symbol": "AAPL", "price": 174.5}'] * 10)
        job = stack.run("spark-job", TRIGGER_SECONDS=0)
        stack.wait_until_stored()
        assert list(stack.paths.scratch.iterdir())
        assert job.stop() == 0
        assert not list(stack.paths.scratch.iterdir())
        shutil.rmtree(LakePaths(stack.paths.root).root / "run")
    stack.assert_complete()
    stack.assert_proven()
