"""A real ZooKeeper and Kafka shared by all stack tests; each test has its own topic and data folder."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.support.stack import SHORT_LIVED, Stack, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = Stack(tmp_path_factory.mktemp("broker"), free_port(), free_port(), "finance", jvm=SHORT_LIVED)
    run = stack.run("zookeeper kafka")
    try:
        run.wait_for("Running:")
        yield stack
        run.stop()
    finally:
        run.kill_everything()


@pytest.fixture
def stack(broker: Stack, tmp_path: Path) -> Iterator[Stack]:
    yield from _cleaned_up(
        Stack(tmp_path, broker.kafka_port, broker.zookeeper_port, f"finance-{next(NUMBERS)}", jvm=SHORT_LIVED)
    )


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """Return a stack whose broker the test starts, and may kill."""
    yield from _cleaned_up(Stack(tmp_path, free_port(), free_port(), "finance", jvm=SHORT_LIVED))


def _cleaned_up(stack: Stack) -> Iterator[Stack]:
    try:
        yield stack
    finally:
        for run in stack.runs:
            run.kill_everything()
