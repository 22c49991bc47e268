"""Which tests run in one worker and which begin first, when tests run beside each other (`pytest --numprocesses 4`).

pytest-xdist's own groups need a mark that this version of pytest does not pass on to it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xdist.remote import Producer

# What tests of these folders and files share takes seconds to make: a Spark session, a browser, a virtualenv, a filled lake.
TOGETHER = ("tests/spark/", "tests/browser/", "tests/package/", "tests/stack/test_guard.py", "tests/stack/test_readers.py")
UNITS = "tests/unit/"
UNITS_PER_GROUP = 10


class Groups:
    """Names the group of each test; the tests of a group run in one worker, one after the other."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._units: Counter[str] = Counter()

    def of(self, test: str) -> str:
        """Return the group of a test: what it shares with others, ten unit tests of a file, or the test alone."""
        if test not in self._names:
            self._names[test] = self._name(test)
        return self._names[test]

    def _name(self, test: str) -> str:
        file, *_ = test.partition("::")
        if file.startswith(UNITS):
            self._units[file] += 1
            return f"{file} {(self._units[file] - 1) // UNITS_PER_GROUP}"
        return next((shared for shared in TOGETHER if file.startswith(shared)), test)


class Schedule(LoadScopeScheduling):  # type: ignore[misc] # xdist has no types
    """Gives the next group to the worker that is free first."""

    def __init__(self, config: pytest.Config, log: Producer | None) -> None:
        super().__init__(config, log)
        self._groups = Groups()

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.of(nodeid)


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Let large groups and long tests begin first, and spread those that wait for processes among those that compute."""
    groups, computing, waiting = Groups(), dict[str, list[pytest.Item]](), dict[str, list[pytest.Item]]()
    for item in sorted(items, key=lambda item: not item.get_closest_marker("long")):
        kind = computing if item.nodeid.startswith(UNITS) else waiting
        kind.setdefault(groups.of(item.nodeid), []).append(item)
    rows = (sorted(waiting.values(), key=len, reverse=True), [*computing.values()])
    return [item for group in _mixed(*rows) for item in group]


def _mixed(*rows: Sequence[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """Merge rows into one, each of them spread evenly over the whole length."""
    places = ((place / len(row), group) for row in rows for place, group in enumerate(row))
    return [group for _, group in sorted(places, key=lambda placed: placed[0])]
