"""Which tests share a worker, in which order they begin, and the one Spark session of tests that run Spark in their process."""

from __future__ import annotations

import itertools
import os
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finance_job.config import Settings
from finance_job.session import start_session
from tests.support.stack import SHORT_LIVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import SparkSession

TESTS = Path(__file__).parent
# Costly fixtures that several files or tests share, and folders whose tests share one: they run in one worker.
SHARED = ("spark", "filled")
TOGETHER = frozenset({"spark", "browser", "package"})


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for `--dist loadgroup`, and let those that wait for processes begin between those that compute."""
    computing: dict[str, list[pytest.Item]] = {}
    waiting: dict[str, list[pytest.Item]] = {}
    places: dict[Path, Iterator[int]] = defaultdict(itertools.count)
    for item in sorted(items, key=lambda item: not item.get_closest_marker("long")):
        group = _group(item, next(places[item.path]))
        if group != item.nodeid:
            item.add_marker(pytest.mark.xdist_group(group))
        (computing if _folder(item) == "unit" else waiting).setdefault(group, []).append(item)
    largest_first = sorted(waiting.values(), key=len, reverse=True)
    items[:] = [item for group in _mixed(largest_first, [*computing.values()]) for item in group]


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def _group(item: pytest.Item, place: int) -> str:
    """Name the group of the test at this place of its file: what costly thing its tests share, or ten unit tests of a file.

    Every other test is a group of its own.
    """
    shared = [name for name in SHARED if name in getattr(item, "fixturenames", ())]
    if shared or _folder(item) in TOGETHER:
        return shared[0] if shared else _folder(item)
    return f"{item.path.relative_to(TESTS)}:{place // 10}" if _folder(item) == "unit" else item.nodeid


def _mixed(*rows: Sequence[list[pytest.Item]]) -> list[list[pytest.Item]]:
    """Merge rows into one, each of them spread evenly over the whole length."""
    places = ((place / len(row), group) for row in rows for place, group in enumerate(row))
    return [group for _, group in sorted(places, key=lambda placed: placed[0])]


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    """Undo what a role does to its own process: it replaces the environment and sets the umask and the time zone."""
    environment, umask = _state()
    yield
    _restore(environment, umask)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    environment, umask = _state()
    os.environ["JVM_OF_TESTS"] = SHORT_LIVED
    session = start_session(Settings(spark_ui_port=0, data_dir=tmp_path_factory.mktemp("spark")))
    _restore(environment, umask)
    yield session
    session.stop()


def _state() -> tuple[dict[str, str], int]:
    umask = os.umask(0)
    os.umask(umask)
    return dict(os.environ), umask


def _restore(environment: dict[str, str], umask: int) -> None:
    os.umask(umask)
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
