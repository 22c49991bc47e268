"""A lake on three brokers and a Spark cluster as real processes, for tests that kill or freeze one of them under load."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
from confluent_kafka.admin import AdminClient

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_local.config import WORKERS
from finance_role.environment import composed
from finance_role.spark_secret import secret_file
from finance_storage.delta_table import committed_offsets
from finance_storage.paths import LakePaths
from tests.support.disk import bound
from tests.support.stack import ROOT, SHORT_LIVED, Stack, free_port, wait_until

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from tests.support.stack import Run

TICKS_PER_SECOND = 500
# The lag is bounded if no more than these seconds of ticks wait, for a while.
BOUND_SECONDS, SETTLED_SECONDS = 5.0, 10.0
BACK_SECONDS = 60.0
SAMPLE_SECONDS = 0.5


def free_block(count: int) -> int:
    """Return the first of `count` consecutive free ports."""
    while True:
        first, *others = (free_port() for _ in range(count))
        if others == list(range(first + 1, first + count)):
            return first


class Driver:
    """A job as another machine would run it: nothing but tables, brokers, master and the secret.

    Its data folder is the lake's own, or one in which only the tables of the lake are mounted.
    """

    def __init__(self, cluster: Cluster, folder: Path, **environment: str) -> None:
        """Start it."""
        self.folder = folder
        self.log = cluster.folder / f"driver-{len(cluster.drivers)}.log"
        settings = {
            "DATA_DIR": str(folder),
            "KAFKA_BOOTSTRAP": cluster.bootstrap,
            "SPARK_MASTER": f"spark://127.0.0.1:{cluster.spark_port}",
            "SPARK_SECRET_FILE": str(cluster.secret),
            "SPARK_UI_PORT": "0",
            "TRIGGER_SECONDS": "0.5",
            "BARS_SECONDS": "0",
            "JVM_OF_TESTS": cluster.jvm,
            **environment,
        }
        with self.log.open("w") as output:
            self.process = psutil.Popen(
                [sys.executable, "-m", "finance_job"],
                cwd=ROOT,
                env=composed(settings, settings=False),
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        cluster.drivers.append(self)

    def text(self) -> str:
        """Return its log."""
        return self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the driver and its JVM."""
        signal_family(self.process, number)

    def end(self, seconds: float) -> int:
        """Wait until it ends by itself; return its exit code."""
        try:
            return int(self.process.wait(seconds))
        except psutil.TimeoutExpired:
            raise AssertionError(f"still running after {seconds:.0f} s:\n{self.text()[-4000:]}") from None

    def stop(self) -> int:
        """Stop it like `docker stop`."""
        self.process.terminate()
        return self.end(120)


def signal_family(process: psutil.Process, number: signal.Signals) -> None:
    """Send a signal to a process and all that it has started, as to a machine that is lost or stalls."""
    if not process.is_running():
        return
    for member in (*process.children(recursive=True), process):
        with suppress(psutil.NoSuchProcess):
            member.send_signal(number)


@dataclass
class Cluster(Stack):
    """Three ZooKeepers, three brokers, a master and two workers; drivers and producers are started by the tests."""

    kafka_port_2: int = 0
    kafka_port_3: int = 0
    spark_port: int = 0
    drivers: list[Driver] = field(default_factory=list)

    @classmethod
    def at(cls, folder: Path) -> Cluster:
        """Return a cluster on free ports, whose processes are not started yet."""
        zookeeper, spark = free_block(9), free_block(4)
        return cls(
            folder,
            free_port(),
            zookeeper,
            "finance",
            SHORT_LIVED,
            kafka_port_2=free_port(),
            kafka_port_3=free_port(),
            spark_port=spark,
        )

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers."""
        return ",".join(f"127.0.0.1:{port}" for port in (self.kafka_port, self.kafka_port_2, self.kafka_port_3))

    @property
    def secret(self) -> Path:
        """The file with the secret of the Spark cluster."""
        return secret_file(self.paths.root)

    def run(self, roles: str, **environment: str | float) -> Run:
        """Start roles of the cluster."""
        ports = {"KAFKA_PORT_2": self.kafka_port_2, "KAFKA_PORT_3": self.kafka_port_3, "SPARK_MASTER_PORT": self.spark_port}
        return super().run(roles, CLUSTER=1, **ports, **environment)

    def process(self, role: str) -> psutil.Process:
        """Return the JVM of a role, which its folder for temporary files names."""
        mark = f"-Djava.io.tmpdir={self.paths.root.resolve()}/run/tmp/{role}"
        for process in psutil.process_iter(["cmdline"]):
            if mark in (process.info["cmdline"] or ()):
                return process
        raise AssertionError(f"{role} does not run")

    def failpoint(self, role: str) -> Path:
        """Return the file that arms a role's failpoint, if it was started with it."""
        return self.folder / f"failpoint-{role}"

    def working(self) -> str:
        """Return a worker that has an executor. After the loss of a worker all executors may be at the other one."""
        return next(role for role in WORKERS if any("java" in child.name() for child in self.process(role).children()))

    def produce(self) -> Run:
        """Start the load; return when the first ticks are acknowledged."""
        producer = self.run("producer", TICKS_PER_SECOND=TICKS_PER_SECOND, MALFORMED_RATE=0.01)
        producer.wait_for("Running:")
        return producer

    def driver(self, **environment: str) -> Driver:
        """Start a driver on the lake's own folder."""
        return Driver(self, self.paths.root, **environment)

    def driver_elsewhere(self, mounts: ExitStack, **environment: str) -> Driver | None:
        """Start a driver on a new folder in which only the tables are mounted; None if this machine does not permit that."""
        folder = self.folder / f"machine-{len(self.drivers)}"
        other = LakePaths(folder)
        for table, place in ((self.paths.ticks, other.ticks), (self.paths.quarantine, other.quarantine)):
            place.mkdir(parents=True)
            if not mounts.enter_context(bound(table, place)):
                return None
        return Driver(self, folder, **environment)

    def position(self) -> int:
        """Return the number of offsets that are stored."""
        return sum(committed_offsets(self.paths.ticks).values())

    def lag(self) -> float | None:
        """Return the number of records that wait; None if no broker answers."""
        try:
            ends = describe_topic(self.bootstrap, self.topic).end
        except (BrokerUnavailableError, TopicNotFoundError):
            return None
        return float(sum(ends.values()) - self.position())

    def seconds_back(self, since: float) -> float:
        """Return how many seconds after `since` the lag was bounded again, for good; fail after BACK_SECONDS.

        The lag is unbounded while too many records wait, nothing is stored, or no broker answers. Ticks of each partition must
        have been stored since.
        """
        before, position = committed_offsets(self.paths.ticks), self.position()
        progress = last_bad = since
        while time.monotonic() - last_bad < SETTLED_SECONDS or not self._has_grown(before):
            lag, now = self.lag(), time.monotonic()
            if self.position() > position:
                position, progress = self.position(), now
            if lag is None or lag > BOUND_SECONDS * TICKS_PER_SECOND or now - progress > BOUND_SECONDS:
                last_bad = now
            assert last_bad - since < BACK_SECONDS, f"lag {lag} after {last_bad - since:.0f} s\n{self.report()}"
            assert now - since < BACK_SECONDS + 3 * SETTLED_SECONDS, f"a partition has no new ticks\n{self.report()}"
            time.sleep(SAMPLE_SECONDS)
        return last_bad - since

    def _has_grown(self, before: dict[int, int]) -> bool:
        return all(end > before.get(partition, 0) for partition, end in committed_offsets(self.paths.ticks).items())

    def proven(self, producer: Run) -> None:
        """Stop the load, wait until everything is stored, and verify: 0 lost, 0 doubled, all acknowledged ticks present."""
        assert producer.stop() == 0, producer.text()[-3000:]
        self.wait_until_stored(120)
        report = self.assert_proven()
        assert re.search(r"complete: 0 lost, 0 doubled", report), report

    def wait_until_all_replicas_are_in_sync(self) -> None:
        """Wait until no partition lacks a replica, so that the next fault meets a whole cluster."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

        def in_sync() -> bool:
            topic = admin.list_topics(self.topic, timeout=10).topics[self.topic]
            return all(len(partition.isrs) == 3 for partition in topic.partitions.values())

        wait_until(in_sync, 120, "all replicas are in sync")

    def leader(self, partition: int) -> str:
        """Return the role of the broker that leads a partition."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        number = admin.list_topics(self.topic, timeout=10).topics[self.topic].partitions[partition].leader
        return "kafka" if number == 0 else f"kafka-{number + 1}"

    def report(self) -> str:
        """Return the ends of the logs."""
        logs = [run.text()[-2000:] for run in self.runs if run.process.poll() is None]
        return "\n----\n".join([*logs, *(driver.text()[-3000:] for driver in self.drivers[-2:])])

    def kill_everything(self) -> None:
        """Kill all processes of the cluster, whatever the test did."""
        for driver in self.drivers:
            if driver.process.is_running():
                signal_family(driver.process, signal.SIGKILL)
        for run in self.runs:
            run.kill_everything()


def keep_logs(cluster: Cluster, name: str) -> None:
    """Copy the logs to build/logs, which CI keeps after a failure."""
    target = ROOT / "build" / "logs" / name
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for log in (*(run.log for run in cluster.runs), *(driver.log for driver in cluster.drivers)):
        shutil.copy(log, target)


def seed() -> int:
    """Return SEED, or a new one; it is printed with the test's output."""
    chosen = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"SEED={chosen}")
    return chosen
