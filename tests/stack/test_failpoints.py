"""kill -9 of the job at each failpoint, where it leaves a batch half done; afterwards each record is stored once.

By default each failpoint is hit once, with batches of different sizes, on one lake. All combinations, three times in a row
each, are marked `faults` (`make test-faults`).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from finance_job.failpoint import POINTS
from tests.support.lakes import BAD, GOOD

if TYPE_CHECKING:
    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

BATCHES = {"all malformed": [BAD] * 7, "one row": [GOOD], "large": [GOOD, GOOD, BAD] * 40_000}


def die_at(stack: Stack, point: str) -> None:
    job = stack.run("spark-job", FAILPOINT=point, TRIGGER_SECONDS=0)
    assert job.end() == 1
    assert "spark-job ended with code -9" in job.text(), job.text()[-4000:]
    assert "refused" not in job.text()


def finish(stack: Stack) -> None:
    # After some kills everything is stored already, so send one more record.
    stack.send([GOOD])
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.assert_completed_by(job)


def reachable(point: str, size: str) -> bool:
    """Return whether a batch reaches the failpoint: only malformed records are committed to the quarantine."""
    return "quarantine" not in point or size != "one row"


@pytest.mark.long
def test_a_lake_survives_a_kill_at_every_failpoint(stack: Stack) -> None:
    stack.make_topic()
    for point, size in zip(POINTS, itertools.cycle(("large", "all malformed", "one row"))):
        stack.send(BATCHES[size if reachable(point, size) else "all malformed"])
        die_at(stack, point)
    finish(stack)


@pytest.mark.faults
@pytest.mark.parametrize("size", BATCHES)
@pytest.mark.parametrize("point", POINTS)
def test_a_lake_survives_three_kills_in_a_row_at_one_failpoint(stack: Stack, point: str, size: str) -> None:
    if not reachable(point, size):
        size = "all malformed"
    stack.make_topic()
    for _ in range(3):
        stack.send(BATCHES[size])
        die_at(stack, point)
    finish(stack)
