"""`make local CLUSTER=1`: the same lake on three brokers and a Spark cluster, without an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import pytest

from finance_local.config import CLUSTER_ROLES
from finance_role.exit_codes import REFUSED
from tests.support.cluster import Cluster
from tests.support.lakes import BAD, GOOD
from tests.support.stack import wait_for_derived

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.cluster


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster.at(tmp_path, s3=False)
    try:
        yield cluster
    finally:
        cluster.kill_everything()


def command_lines(cluster: Cluster) -> str:
    family = psutil.Process(cluster.runs[-1].process.pid).children(recursive=True)
    return "\n".join(" ".join(process.cmdline()) for process in family)


def listening_elsewhere(cluster: Cluster) -> list[str]:
    """Return the addresses beyond the loopback interface on which a process of the cluster listens."""
    addresses = [
        connection.laddr
        for process in psutil.Process(cluster.runs[-1].process.pid).children(recursive=True)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(addresses) > 15
    loopback = ("127.0.0.1", "::ffff:127.0.0.1", "::1")
    return [f"{address.ip}:{address.port}" for address in addresses if address.ip not in loopback]


def test_the_cluster_stores_all_ticks_and_derived_tables_and_its_secret_is_in_no_log(lake: Cluster) -> None:
    everything = " ".join(CLUSTER_ROLES)
    run = lake.run(everything, TICKS_PER_SECOND=2000, MALFORMED_RATE=0.01, BARS_SECONDS=5)
    run.wait_for("Running:", 300)
    run.wait_for("batch id=10 ")
    wait_for_derived(lake.paths, 120, run.text)
    assert "CoarseGrainedExecutorBackend" in command_lines(lake)
    assert lake.secret.read_text().strip() not in command_lines(lake) + run.text()
    assert not listening_elsewhere(lake)
    assert run.stop(180) == 0

    run = lake.run(everything.replace(" producer", ""), READER="direct")
    run.wait_for("Running:", 300)
    lake.send([GOOD, BAD, GOOD] * 500)
    lake.wait_until_stored()
    lake.assert_complete()
    lake.assert_proven()
    assert run.stop(180) == 0
    assert "Traceback" not in run.text()

    refused = super(Cluster, lake).run("zookeeper kafka")  # without CLUSTER=1
    assert refused.end(60) == REFUSED
    assert "start it with CLUSTER=1" in refused.text()
