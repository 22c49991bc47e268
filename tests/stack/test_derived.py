"""Derived tables beside ingestion: they follow the ticks, and a kill at any place leaves no revision twice and none missing."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_role.environment import composed
from finance_storage.derived_tables import states
from tests.support.stack import DERIVED, ROOT, wait_for_derived, wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack
# A revision each few seconds is more than the job can compute beside other tests, so it may lag.
LAG_SECONDS = 120

POINTS = ("before-bars_1m-commit", "after-bars_1m-commit")


def reconciled(stack: Stack) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finance_lake", "reconcile", "--json", "--data", str(stack.paths.root)]
    return subprocess.run(command, cwd=ROOT, env=composed({}, settings=False), capture_output=True, text=True, check=False)


def positions(stack: Stack) -> dict[str, int]:
    """Return the version of the tick table that each derived table was computed from, by name."""
    return {state.name: state.as_of or 0 for state in states(stack.paths)}


def is_past(stack: Stack, before: dict[str, int]) -> bool:
    now = positions(stack)
    return all(now.get(name, 0) > before.get(name, 0) for name in DERIVED)


def assert_reconciled(stack: Stack) -> None:
    found = reconciled(stack)
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["bars"] > 0
    for name in DERIVED:
        rows = DeltaTable(str(stack.paths.root / f"finance_{name}")).to_pyarrow_table(columns=["symbol", "ts", "as_of"])
        assert rows.num_rows == rows.group_by(rows.column_names).aggregate([]).num_rows, f"a revision of {name} twice"


@pytest.mark.long
def test_derived_tables_follow_a_live_lake(stack: Stack) -> None:
    stack.make_topic()
    job = stack.run("spark-job", BARS_SECONDS=5)
    producer = stack.run("producer", TICKS_PER_SECOND=100, MALFORMED_RATE=0.01)
    job.wait_for("Running:")
    for _ in range(2):
        wait_until(partial(is_past, stack, positions(stack)), LAG_SECONDS, job.text)
    assert producer.stop() == 0
    stack.wait_until_stored()
    wait_for_derived(stack.paths, LAG_SECONDS, job.text)
    assert job.stop() == 0
    assert "paused" not in job.text()
    assert not (stack.paths.root / "run" / "derived").is_dir() or not list((stack.paths.root / "run" / "derived").iterdir())
    assert_reconciled(stack)
    assert "stored bars equal their ticks as of version" in stack.assert_proven()


@pytest.mark.faults
def test_kills_leave_no_revision_twice_and_none_missing(stack: Stack) -> None:
    stack.make_topic()
    for point in POINTS * 3:
        producer = stack.run("producer", TICKS_PER_SECOND=500)
        job = stack.run("spark-job", BARS_SECONDS=5, FAILPOINT=point)
        assert job.end() == 1
        assert "spark-job ended with code -9" in job.text(), job.text()[-4000:]
        assert producer.stop() == 0
    job = stack.run("spark-job", BARS_SECONDS=5)
    stack.wait_until_stored()
    wait_for_derived(stack.paths, LAG_SECONDS, job.text)
    assert job.stop() == 0
    assert_reconciled(stack)
    stack.assert_proven()
