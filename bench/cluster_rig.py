"""The rig of bench.cluster: one broker and three, each with the same ticks in its topic, a Spark cluster and an S3 server.

All of it is on this machine. What is not measured at a time is idle.
"""

from __future__ import annotations

import itertools
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.broker import publish, running_broker
from bench.machine import cpu_seconds
from finance_local.config import BROKERS, WORKERS, ZOOKEEPERS
from finance_storage.paths import LakePaths
from tests.support.cluster import Cluster, Driver
from tests.support.s3_server import S3Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

    from tests.support.stack import Stack

START_SECONDS = 300


class Setup(NamedTuple):
    """A way to run the job: `executors` of one core each, or none for both cores in the job's own process."""

    name: str
    executors: int = 0
    brokers: int = 1
    bucket: bool = False


class Job(NamedTuple):
    """A running job, the table of ticks that it fills, and the roots of its processes, those of its executors included."""

    driver: Driver
    table: Path
    processes: list[psutil.Process]


class Rig(NamedTuple):
    """What the jobs of all setups share; topics by their number of brokers."""

    folder: Path
    topics: dict[int, Stack]
    spark: Cluster
    store: S3Server
    numbers: Iterator[int]

    def brokers(self, count: int) -> list[psutil.Process]:
        """Return the brokers' processes."""
        topic = self.topics[count]
        if isinstance(topic, Cluster):
            return [topic.process(name) for name in BROKERS]
        return [topic.runs[0].role_process("kafka")]

    def publish(self, count: int, ticks: int) -> dict[str, float]:
        """Fill a topic; return the producer's rate, and CPU microseconds a tick of the producer and of all brokers."""
        brokers = self.brokers(count)
        before = sum(map(cpu_seconds, brokers))
        published = publish(self.topics[count], ticks)
        spent = sum(map(cpu_seconds, brokers)) - before
        return {**published, "brokers_cpu_us_a_tick": round(spent / ticks * 1e6, 2)}

    def log_bytes_a_tick(self, count: int, ticks: int) -> float:
        """Return the bytes of a topic's log on the disks of all brokers, per tick."""
        logs = self.topics[count].paths.root.rglob("*.log")
        return round(sum(log.stat().st_size for log in logs if log.parent.name.startswith("finance-")) / ticks, 1)

    def start(self, setup: Setup, **settings: str) -> Job:
        """Start the job on a new lake, without derived tables."""
        folder = self.folder / f"lake-{next(self.numbers)}"
        folder.mkdir()
        where = self.store.settings(prefix=folder.name) if setup.bucket else dict.fromkeys(self.spark.address, "")
        cluster = {"SPARK_CORES": str(setup.executors)} if setup.executors else {"SPARK_MASTER": "", "SPARK_SECRET_FILE": ""}
        topic = self.topics[setup.brokers]
        own = {"DATA_DIR": str(folder), "KAFKA_BOOTSTRAP": topic.bootstrap, "TRIGGER_SECONDS": "0"}
        driver = Driver(self.spark, **{**own, **cluster, **where, **settings})
        # The S3 server keeps an object as a file of the same name.
        root = self.folder / "s3" / "lake" / folder.name if setup.bucket else folder
        workers = [self.spark.process(name) for name in WORKERS] if setup.executors else []
        return Job(driver, LakePaths(root).ticks, [driver.process, *workers])


@contextmanager
def running_rig() -> Iterator[Rig]:
    """Start everything with empty topics, in scratch folders on free ports; end it afterwards."""
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="financelake-bench-")))
        one = ending.enter_context(running_broker())
        three = _cluster(folder / "brokers", " ".join([*ZOOKEEPERS, *BROKERS, "topic-init"]), ending)
        spark = _cluster(folder / "spark", "spark-master", ending)
        for worker in WORKERS:
            spark.run_worker(worker).wait_for("Running:", START_SECONDS)
        store = ending.enter_context(S3Server(folder))
        yield Rig(folder, {1: one, len(BROKERS): three}, spark, store, itertools.count())


def _cluster(folder: Path, roles: str, ending: ExitStack) -> Cluster:
    folder.mkdir()
    cluster = Cluster.at(folder, s3=False)
    cluster.jvm = ""
    ending.callback(cluster.kill_everything)
    cluster.run(roles).wait_for("Running:", START_SECONDS)
    return cluster
