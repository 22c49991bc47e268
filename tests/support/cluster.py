"""A lake on three brokers and a Spark cluster as real processes, for tests that kill or freeze one of them under load."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil
from confluent_kafka.admin import AdminClient
from deltalake.exceptions import DeltaError

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_local.config import OBJECT_STORE, WORKERS
from finance_role import own_store
from finance_role.spark_secret import secret_file
from finance_storage.delta_table import committed_offsets
from finance_storage.errors import StoreUnavailableError
from tests.support.network import Network
from tests.support.stack import ROOT, SHORT_LIVED, Stack, free_port, start, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from finance_kafka.offsets import Offsets
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
    """A job as another machine would run it, on a folder of its own: it has the addresses and the secrets, nothing else."""

    def __init__(self, cluster: Cluster, **environment: str) -> None:
        """Start it."""
        number = len(cluster.drivers)
        self.log = cluster.folder / f"driver-{number}.log"
        settings = {
            "DATA_DIR": str(cluster.folder / f"machine-{number}"),
            "KAFKA_BOOTSTRAP": cluster.bootstrap,
            **cluster.address,
            "SPARK_MASTER": f"spark://127.0.0.1:{cluster.spark_port}",
            "SPARK_SECRET_FILE": str(cluster.secret),
            "SPARK_UI_PORT": "0",
            "TRIGGER_SECONDS": "0.5",
            "BARS_SECONDS": "0",
            "JVM_OF_TESTS": cluster.jvm,
            **environment,
        }
        self.process = start("finance_job", settings, self.log, cluster.network.group if cluster.is_watched else None)
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
    """Three ZooKeepers, three brokers, an S3 server, a master and two workers; drivers and producers are started by the tests.

    The tables are in the S3 server. Each worker and each driver has a data folder of its own, so they share nothing else.
    """

    kafka_port_2: int = 0
    kafka_port_3: int = 0
    spark_port: int = 0
    s3_port: int = 0
    drivers: list[Driver] = field(default_factory=list)
    network: Network = field(default_factory=Network)
    is_watched: bool = False  # whether drivers can be cut off from the network

    @classmethod
    def at(cls, folder: Path, *, s3: bool = True) -> Cluster:
        """Return a cluster on free ports, whose processes are not started yet. Without S3 the tables are in its data folder."""
        zookeeper, spark, store = free_block(9), free_block(4), free_port()
        return cls(
            folder,
            free_port(),
            zookeeper,
            "finance",
            SHORT_LIVED,
            lake={"S3": "1", "S3_PORT": str(store)} if s3 else {},
            kafka_port_2=free_port(),
            kafka_port_3=free_port(),
            spark_port=spark,
            s3_port=store,
        )

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers."""
        return ",".join(f"127.0.0.1:{port}" for port in (self.kafka_port, self.kafka_port_2, self.kafka_port_3))

    @property
    def address(self) -> dict[str, str]:
        """The settings of the lake for a process on another machine."""
        return {key.upper(): str(value) for key, value in own_store.address(self.paths.root, self.s3_port).items()}

    @property
    def secret(self) -> Path:
        """The file with the secret of the Spark cluster."""
        return secret_file(self.paths.root)

    @property
    def store_secret(self) -> str:
        """The secret key of the S3 server, which nothing may show."""
        return own_store.credentials_file(self.paths.root).read_text().rpartition("= ")[2].strip()

    def run(self, roles: str, **environment: str | float) -> Run:
        """Start roles of the cluster."""
        ports = {"KAFKA_PORT_2": self.kafka_port_2, "KAFKA_PORT_3": self.kafka_port_3, "SPARK_MASTER_PORT": self.spark_port}
        return super().run(roles, **{"CLUSTER": 1, **ports, **environment})

    def run_worker(self, role: str) -> Run:
        """Start a worker as on a machine of its own: it has the secret of the cluster, and no setting of the store."""
        secret = secret_file(self.home(role))
        secret.parent.mkdir(parents=True)
        shutil.copy(self.secret, secret)
        environment = {"DATA_DIR": str(self.home(role)), "FAILPOINT": f"@{self.failpoint(role)}"}
        return self.run(role, S3=0, **environment)

    def home(self, role: str) -> Path:
        """Return the data folder of a role."""
        return self.folder / role if role in WORKERS else self.paths.root

    def process(self, role: str) -> psutil.Process:
        """Return the process of a role: the S3 server, or a JVM, which its folder for temporary files names."""
        mark = f"-Djava.io.tmpdir={self.home(role).resolve()}/run/tmp/{role}"
        if role == OBJECT_STORE:
            mark = f"127.0.0.1:{self.s3_port}"
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or [""]
            if mark in command and not command[0].endswith("bash"):
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
        """Start a driver on a new folder."""
        return Driver(self, **environment)

    def committed(self) -> Offsets | None:
        """Return the position of the tables; None if the store does not answer."""
        try:
            return committed_offsets(self.place.ticks)
        except (StoreUnavailableError, DeltaError, OSError):
            return None

    def position(self) -> int:
        """Return the number of offsets that are stored; 0 if the store does not answer."""
        return sum((self.committed() or {}).values())

    def ends(self) -> int | None:
        """Return the number of offsets of the topic; None if no broker answers."""
        try:
            return sum(describe_topic(self.bootstrap, self.topic).end.values())
        except (BrokerUnavailableError, TopicNotFoundError):
            return None

    def seconds_back(self, since: float) -> float:
        """Return how many seconds after `since` the lag was bounded again, for good; fail after BACK_SECONDS.

        The lag is unbounded while too many records wait, nothing is stored, or no broker or no store answers. Ticks of each
        partition must have been stored since.
        """
        before: Offsets | None = None
        position, progress, last_bad = -1, since, since
        while time.monotonic() - last_bad < SETTLED_SECONDS or not self._has_grown(before):
            ends, committed, now = self.ends(), self.committed(), time.monotonic()
            before = before or committed
            stored = sum(committed.values()) if committed else position
            if stored > position:
                position, progress = stored, now
            lag = None if ends is None or committed is None else ends - stored
            if lag is None or lag > BOUND_SECONDS * TICKS_PER_SECOND or now - progress > BOUND_SECONDS:
                last_bad = now
            assert last_bad - since < BACK_SECONDS, f"lag {lag} after {last_bad - since:.0f} s\n{self.report()}"
            assert now - since < BACK_SECONDS + 3 * SETTLED_SECONDS, f"a partition has no new ticks\n{self.report()}"
            time.sleep(SAMPLE_SECONDS)
        return last_bad - since

    def _has_grown(self, before: Offsets | None) -> bool:
        now = self.committed()
        return before is not None and now is not None and all(end > before.get(partition, 0) for partition, end in now.items())

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

    def logs(self) -> list[Path]:
        """Return the files with what the processes have printed."""
        return [*(run.log for run in self.runs), *(driver.log for driver in self.drivers)]

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
    for log in cluster.logs():
        shutil.copy(log, target)


def seed() -> int:
    """Return SEED, or a new one; it is printed with the test's output."""
    chosen = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4), "big")
    print(f"SEED={chosen}")
    return chosen
