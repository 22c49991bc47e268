"""Derived tables of a lake in an object store: Spark reads through S3A, and a driver that was replaced overwrites nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from finance_job import s3a
from finance_job.config import Settings
from finance_role.environment import composed
from finance_storage.delta_table import open_table
from finance_storage.derived_tables import states
from tests.stack.test_fencing import assert_refused
from tests.stack.test_object_store import elsewhere, send  # noqa: F401 (a fixture)
from tests.support.lakes import GOOD
from tests.support.s3_server import S3Server
from tests.support.stack import ROOT, wait_for_derived, wait_until

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.faults, pytest.mark.timeout(1800)]

SECONDS = 600  # beside other tests on a slow machine


def test_derived_tables_in_a_bucket_survive_their_driver(stack: Stack, elsewhere: Stack) -> None:  # noqa: F811
    assert any(s3a.jars(Settings()).glob("*.jar")), "`make build/jars/s3a/.ready` fetches the jars"
    with S3Server(stack.folder) as server:
        stack.lake = elsewhere.lake = server.settings()
        stack.make_topic()
        for point in ("before-bars_1m-commit", "after-bars_1m-commit"):
            producer = stack.run("producer", TICKS_PER_SECOND=200)
            job = stack.run("spark-job", BARS_SECONDS=5, FAILPOINT=point)
            assert job.end() == 1
            assert "spark-job ended with code -9" in job.text(), job.text()[-4000:]
            assert producer.stop() == 0

        older = elsewhere.run("spark-job", BARS_SECONDS=5)  # on another machine, as far as it can tell
        elsewhere.wait_until_stored(SECONDS)
        wait_for_derived(elsewhere.place, SECONDS, older.text)
        assert_reconciled(elsewhere)
        before = {state.name: state.as_of or 0 for state in states(stack.place)}
        send(older, "SIGSTOP")
        stack.send([GOOD] * 10)
        newer = stack.run("spark-job", BARS_SECONDS=5)
        stack.wait_until_stored(SECONDS)
        wait_until(lambda: all((state.as_of or 0) > before[state.name] for state in states(stack.place)), SECONDS, newer.text)
        send(older, "SIGCONT")
        stack.send([GOOD] * 10)
        assert_refused(older)
        stack.wait_until_stored(SECONDS)
        wait_for_derived(stack.place, SECONDS, newer.text)
        assert newer.stop() == 0
        assert_reconciled(stack)
        stack.assert_complete()
        assert "paused" not in newer.text()
        assert server.secret not in "".join(run.text() for run in (*stack.runs, *elsewhere.runs))


def assert_reconciled(stack: Stack) -> None:
    """Fail if a stored bar is not what the ticks say, or if a revision is there twice."""
    environment = composed({**stack.lake, "DATA_DIR": str(stack.paths.root)}, settings=False)
    command = [sys.executable, "-m", "finance_lake", "reconcile", "--json"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["bars"] > 0
    for state in states(stack.place):
        table = open_table(stack.place.derived(state.name))
        assert table
        rows = table.to_pyarrow_table(columns=["symbol", "ts", "as_of"])
        assert rows.num_rows == rows.group_by(rows.column_names).aggregate([]).num_rows, f"a revision of {state.name} twice"
