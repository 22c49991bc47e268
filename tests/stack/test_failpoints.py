"""kill -9 of the job at each place where it can leave a batch half done; then it goes on, and each record is there once.

Here every place once, with batches of changing size, on one lake; all combinations, three times in a row each, are marked
`faults` (`make test-faults`).
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
    # After some kills all is stored already: one record more, so that there is something to go on with.
    stack.send([GOOD])
    job = stack.run("spark-job", TRIGGER_SECONDS=0)
    stack.wait_until_stored()
    assert job.stop() == 0
    stack.assert_complete()


def reachable(point: str, size: str) -> bool:
    """Whether a batch comes by the place: the quarantine is committed to for malformed records only."""
    return "quarantine" not in point or size != "one row"


def test_a_lake_survives_a_kill_at_every_place(stack: Stack) -> None:
    stack.make_topic()
    for point, size in zip(POINTS, itertools.cycle(("large", "all malformed", "one row"))):
        stack.send(BATCHES[size if reachable(point, size) else "all malformed"])
        die_at(stack, point)
    finish(stack)


@pytest.mark.faults
@pytest.mark.parametrize("size", BATCHES)
@pytest.mark.parametrize("point", POINTS)
def test_three_kills_in_a_row_at_one_place(stack: Stack, point: str, size: str) -> None:
    if not reachable(point, size):
        size = "all malformed"
    stack.make_topic()
    for _ in range(3):
        stack.send(BATCHES[size])
        die_at(stack, point)
    finish(stack)
