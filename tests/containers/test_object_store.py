"""The stack with a lake in an object store of its own, as `make up S3=1` starts it (compose.s3.yml)."""

from __future__ import annotations

import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from finance_role import own_store
from finance_role.settings import PlaceSettings
from finance_storage.paths import LakePaths
from tests.containers.test_smoke import SERVICES, Containers, pytestmark
from tests.support.stack import coordinates, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [*pytestmark, pytest.mark.faults]
BOTH_FILES = "docker-compose.yml:compose.s3.yml"


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Containers]:
    environment = {"COMPOSE_PROJECT_NAME": "financelake-s3", "COMPOSE_FILE": BOTH_FILES, "S3_PORT": str(free_port())}
    with closing(Containers(tmp_path, **environment)) as containers:
        own_store.make_credentials(containers.data)
        containers.chown_data()
        yield containers


def test_a_lake_in_an_object_store_is_filled_and_proven_and_nothing_shows_its_key(lake: Containers) -> None:
    lake.up()
    here = LakePaths.of(PlaceSettings(data_dir=lake.data, s3="1", s3_port=lake.environment["S3_PORT"]))
    wait_until(lambda: sum(coordinates(here).values()) > 1000, 180, lambda: f"a thousand rows\n{lake.logs()}")
    states = {name: container["State"] for name, container in lake.inspect().items()}
    assert set(states) == {*SERVICES, "s3"}
    assert {state["Health"]["Status"] for state in states.values() if state["Running"] and "Health" in state} == {"healthy"}

    verdict = lake.compose("exec", "--no-TTY", "spark-job", "python", "-m", "finance_lake", "verify", "--values")
    assert verdict.splitlines()[-1].startswith("complete: 0 lost, 0 doubled")
    assert not lake.paths.ticks.exists()

    secret = own_store.credentials_file(lake.data).read_text().rpartition("= ")[2].strip()
    ids = lake.compose("ps", "--all", "--quiet").split()
    described = subprocess.run(["docker", "inspect", *ids], capture_output=True, text=True, check=True).stdout
    assert secret not in described + lake.compose("logs", "--no-color")
