"""The whole lake in a folder whose name has every special character that a library might interpret."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import SHORT_LIVED, Stack, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.stack

ALL = "zookeeper kafka topic-init producer spark-job"
WORST = "date=2026-11-25/symbol=X/ a,b *[c]?\"q' é中#%{x}$HOME&;/s3:/-x"


@pytest.fixture
def odd_stack(tmp_path: Path) -> Iterator[Stack]:
    folder = tmp_path / WORST
    folder.mkdir(parents=True)
    (tmp_path / "date=2026-11-25/symbol=X/ a").mkdir()  # the path up to its first comma, which Spark might use
    stack = Stack(folder, free_port(), free_port(), "finance", jvm=SHORT_LIVED)
    yield stack
    for run in stack.runs:
        run.kill_everything()


def test_broker_job_and_replay_take_paths_literally(odd_stack: Stack, tmp_path: Path) -> None:
    file = odd_stack.folder / "*.csv"
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([("symbol", "price"), *(("AAPL", number) for number in range(1, 101))])

    run = odd_stack.run(ALL, RUN_SECONDS=5, TICK_SOURCE="replay", REPLAY_FILE=str(file), TICKS_PER_SECOND=0)

    assert run.end() == 0, run.text()
    assert "complete: 0 lost, 0 doubled, 100 rows" in run.text()
    parts = "finance_delta finance_quarantine kafka ledger locks run zookeeper"
    assert {path.name for path in odd_stack.paths.root.iterdir()} == set(parts.split())
    assert {path.name for path in tmp_path.iterdir()} == {"date=2026-11-25"}
    assert not list((tmp_path / "date=2026-11-25/symbol=X/ a").iterdir())
    assert odd_stack.verify("--no-broker").returncode == 0


def test_a_folder_name_that_deltalake_misreads_is_refused_before_anything_starts(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "e%20f", free_port(), free_port(), "finance", jvm=SHORT_LIVED)
    stack.folder.mkdir()
    run = stack.run(ALL)
    assert run.end() == 2
    assert "'%20' in it, which deltalake takes for another character: choose another folder" in run.text()
    assert "|" not in run.text()
    assert not stack.paths.root.exists()
