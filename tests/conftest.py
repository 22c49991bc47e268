"""One Spark session for tests that run Spark in their own process; the process stays as it was for every other test."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from finance_job.config import Settings
from finance_job.session import start_session
from tests.support.schedule import Schedule, in_order
from tests.support.stack import SHORT_LIVED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession
    from xdist.remote import Producer


# A slow machine is no fault of the code, and a first call imports or compiles.
settings.register_profile("lake", deadline=None)
settings.load_profile("lake")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Schedule:
    """Let tests that share something costly run in one worker."""
    return Schedule(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the tests of a worker."""
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)


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
