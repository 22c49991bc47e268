"""One cluster for all tests of node loss: each test leaves it whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from finance_local.config import BROKERS, OBJECT_STORE, WORKERS, ZOOKEEPERS
from tests.support.cluster import Cluster, keep_logs, signal_family
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL_BUT_WORKERS = " ".join([OBJECT_STORE, *ZOOKEEPERS, *BROKERS, "topic-init", "spark-master"])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running cluster with a driver; each worker has a failpoint of its own."""
    cluster = Cluster.at(tmp_path_factory.mktemp("cluster"))
    try:
        with cluster.network.watched() as cluster.is_watched:
            cluster.run(ALL_BUT_WORKERS).wait_for("Running:", 300)
            for worker in [cluster.run_worker(name) for name in WORKERS]:
                worker.wait_for("Running:")
            driver = cluster.driver()
            wait_until(lambda: "[info] connected" in driver.text(), 120, lambda: f"it is connected\n{cluster.report()}")
            yield cluster
            assert cluster.drivers[-1].stop() == 0
            assert cluster.store_secret not in "".join(log.read_text() for log in cluster.logs())
    finally:
        keep_logs(cluster, "cluster")
        cluster.kill_everything()


@pytest.fixture
def cluster(running: Cluster) -> Iterator[Cluster]:
    """Return the running cluster, whole at the begin of each test; undo what a failed test leaves behind."""
    running.wait_until_all_replicas_are_in_sync()
    yield running
    for name in WORKERS:
        running.failpoint(name).unlink(missing_ok=True)
    for run in running.runs:
        if run.process.poll() is None:
            signal_family(psutil.Process(run.process.pid), signal.SIGCONT)
    for driver in running.drivers[:-1]:
        driver.send(signal.SIGKILL)
    for run in running.runs:
        if run.log.name.endswith("-producer.log"):
            run.kill_everything()
    if running.drivers[-1].process.is_running():
        running.drivers[-1].send(signal.SIGCONT)
    else:
        running.driver()
