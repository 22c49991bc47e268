"""The container smoke test: the stack as `make up` starts it, with its own data folder and ports."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from finance_contract import MAX_VALUE_BYTES
from finance_kafka.describe import describe_topic
from finance_storage.paths import LakePaths
from tests.support.stack import ROOT, coordinates, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BUILD_AND_START_SECONDS = 900
SERVICES = {"zookeeper", "kafka", "topic-init", "producer", "spark-job"}


def engine_answers() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.containers,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not engine_answers(), reason="there is no Docker engine on this machine"),
]


class Containers:
    """One Compose project."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.data = folder / "data"
        self.paths = LakePaths(self.data)
        self.kafka_port = free_port()
        self.environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": "financelake-smoke",
            "DATA_DIR": str(self.data),
            "KAFKA_PORT": str(self.kafka_port),
            "SPARK_UI_PORT": str(free_port()),
            "DASHBOARD_PORT": str(free_port()),
            "LAKE_UID": "1000",
            "LAKE_GID": "1000",
            "TICKS_PER_SECOND": "200",
            "HISTORY_MINUTES": "0",
            "MALFORMED_RATE": "0.01",
            **environment,
        }
        self.data.mkdir()
        self.chown_data()

    def chown_data(self) -> None:
        """Give the data folder to the containers' user, if this runs as root."""
        if os.getuid() == 0:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, 1000, 1000)
            for parent in self.data.parents:
                if not parent.stat().st_mode & 0o001 and str(parent) != "/":
                    parent.chmod(parent.stat().st_mode | 0o011)

    def compose(self, *words: str, seconds: float = 120) -> str:
        command = ["docker", "compose", "--env-file", os.devnull, *words]
        result = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=seconds, check=False
        )
        assert result.returncode == 0, f"{' '.join(words)}:\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}\n{self.logs()}"
        return result.stdout

    def logs(self) -> str:
        command = ["docker", "compose", "--env-file", os.devnull, "logs", "--no-color", "--tail", "60"]
        return subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False).stdout

    def up(self) -> None:
        self.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "300", seconds=BUILD_AND_START_SECONDS)

    def close(self) -> None:
        self.compose("--profile", "dashboard", "down", "--timeout", "60")

    def inspect(self) -> dict[str, dict[str, Any]]:
        ids = self.compose("ps", "--all", "--quiet").split()
        described = json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)
        return {container["Config"]["Labels"]["com.docker.compose.service"]: container for container in described}

    def cgroup(self, second: str, first: str) -> str:
        """Read a memory figure of the job's container, by its name in version 2 or version 1 of control groups."""
        command = f"cat /sys/fs/cgroup/{second} 2>/dev/null || cat /sys/fs/cgroup/memory/{first}"
        return self.compose("exec", "--no-TTY", "spark-job", "sh", "-c", command)

    def rows(self) -> int:
        return sum(coordinates(self.paths).values())


def publish(port: int, values: Iterable[bytes]) -> None:
    """Send values from the host, with a queue bounded in bytes."""
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{port}", "queue.buffering.max.kbytes": 65536, "log_level": 0})
    faults: list[object] = []
    for value in values:
        while True:
            try:
                producer.produce("finance", value, on_delivery=lambda error, _: faults.append(error) if error else None)
                break
            except BufferError:
                producer.poll(1)
        producer.poll(0)
    assert producer.flush(120) == 0
    assert not faults


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    with closing(Containers(tmp_path_factory.mktemp("containers"))) as containers:
        containers.up()
        yield containers


def test_the_stack_becomes_healthy_and_stores_ticks(lake: Containers) -> None:
    wait_until(lambda: lake.rows() > 1000, 120, lambda: f"a thousand rows\n{lake.logs()}")

    states = {name: container["State"] for name, container in lake.inspect().items()}
    assert set(states) == SERVICES
    assert states["topic-init"]["ExitCode"] == 0
    assert {name for name, state in states.items() if state["Running"]} == SERVICES - {"topic-init"}


def test_no_container_has_more_rights_than_it_needs(lake: Containers) -> None:
    for name, container in lake.inspect().items():
        host = container["HostConfig"]
        assert container["Config"]["User"] == "1000:1000", name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        for bindings in (host["PortBindings"] or {}).values():
            assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings), name


def test_a_client_on_this_machine_reads_the_topic_through_the_host_listener(lake: Containers) -> None:
    end = describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").end

    assert len(end) == 4
    assert sum(end.values()) > 1000


def test_the_dashboard_profile_has_the_lake_read_only(lake: Containers) -> None:
    lake.compose("--profile", "dashboard", "up", "--build", "--detach", "--wait", "dashboard", seconds=BUILD_AND_START_SECONDS)
    address = f"http://127.0.0.1:{lake.environment['DASHBOARD_PORT']}"
    status = httpx2.get(f"{address}/api/status").json()
    assert status["rows"] > 1000
    assert status["quarantined"] > 0
    result = httpx2.post(f"{address}/api/sql", json={"query": "SELECT count(*) FROM ticks"}, timeout=30).json()
    assert result["rows"][0][0] >= status["rows"]
    assert httpx2.get(f"{address}/vendor/lightweight-charts.js").status_code == 200
    mounts = lake.inspect()["dashboard"]["Mounts"]
    assert {mount["Destination"]: mount["RW"] for mount in mounts} == {"/data": False, "/keys": False}
    assert "Traceback" not in lake.compose("--profile", "dashboard", "logs", "--no-color", "dashboard")
    lake.compose("--profile", "dashboard", "rm", "--stop", "--force", "dashboard")


def test_a_restarted_job_goes_on_and_logs_its_stop_and_start(lake: Containers) -> None:
    before = lake.rows()

    lake.compose("restart", "spark-job")
    wait_until(lambda: lake.rows() > before + 1000, 120, lambda: f"rows go on\n{lake.logs()}")

    log = lake.compose("logs", "--no-color", "--no-log-prefix", "spark-job")
    for event in ("settings", "connected", "batch id=", "stopping", "stopped"):
        assert f"[info] {event}" in log
    assert "Traceback" not in log


def test_down_and_up_again_continues_the_tables_without_gaps(lake: Containers) -> None:
    lake.compose("down", "--timeout", "60")
    stopped = lake.rows()

    lake.up()
    wait_until(lambda: lake.rows() > stopped, 120, lambda: f"rows go on\n{lake.logs()}")
    lake.compose("stop", "producer")
    end = describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").end
    wait_until(lambda: lake.rows() >= sum(end.values()), 180, lambda: f"the tables reach the end offsets\n{lake.logs()}")

    stored = coordinates(lake.paths)
    assert max(stored.values()) == 1
    assert set(stored) == {(partition, offset) for partition, last in end.items() for offset in range(last)}


def test_verify_passes_in_the_container_and_on_the_host(lake: Containers) -> None:
    verdict = lake.compose("exec", "--no-TTY", "spark-job", "python", "-m", "finance_lake", "verify", "--values")
    assert verdict.splitlines()[-1].startswith("complete: 0 lost, 0 doubled")

    environment = {**lake.environment, "KAFKA_BOOTSTRAP": f"127.0.0.1:{lake.kafka_port}"}
    command = [sys.executable, "-m", "finance_lake", "verify"]
    verified = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("reader", ["spark", pytest.param("direct", marks=pytest.mark.faults)])
def test_5_a_flood_of_long_malformed_values_stays_below_the_containers_limit(lake: Containers, reader: str) -> None:
    lake.compose("stop", "spark-job", "producer")
    publish(lake.kafka_port, [b"x" * MAX_VALUE_BYTES] * 10_000 + [b"y" * 900_000] * 200)
    lake.environment["READER"] = reader
    lake.compose("up", "--detach", "--no-deps", "spark-job")
    end = describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").end
    wait_until(lambda: lake.rows() >= sum(end.values()), 300, lambda: f"the flood is stored\n{lake.logs()}")

    job = lake.inspect()["spark-job"]
    assert int(lake.cgroup("memory.max", "memory.limit_in_bytes")) == job["HostConfig"]["Memory"], "the engine sets no limit"
    killed = dict(line.split() for line in lake.cgroup("memory.events", "memory.oom_control").splitlines())["oom_kill"]
    assert (job["State"]["OOMKilled"], killed, job["RestartCount"]) == (False, "0", 0)
    assert "Traceback" not in lake.logs()


@pytest.mark.faults
@pytest.mark.parametrize("service", ["producer", "spark-job"])
def test_10_a_disconnected_and_reconnected_network_loses_nothing(lake: Containers, service: str) -> None:
    lake.up()
    container = lake.inspect()[service]["Id"]
    network = f"{lake.environment['COMPOSE_PROJECT_NAME']}_lake"
    subprocess.run(["docker", "network", "disconnect", network, container], check=True)
    time.sleep(20)  # the fault itself
    subprocess.run(["docker", "network", "connect", network, container], check=True)
    before = lake.rows()
    wait_until(lambda: lake.rows() > before + 1000, 180, lambda: f"rows go on\n{lake.logs()}")
    verdict = lake.compose("exec", "--no-TTY", "spark-job", "python", "-m", "finance_lake", "verify")
    assert verdict.splitlines()[-1].startswith("complete: 0 lost, 0 doubled")


def test_a_refusal_does_not_loop_and_recover_repairs_the_lake(lake: Containers) -> None:
    lake.compose("stop", "spark-job")
    DeltaTable(str(lake.paths.ticks)).delete("kafka_offset < 5")
    lake.chown_data()
    lake.compose("up", "--detach", "--no-deps", "spark-job")
    wait_until(lambda: lake.inspect()["spark-job"]["State"]["Status"] == "exited", 60, lambda: f"the job ends\n{lake.logs()}")
    job = lake.inspect()["spark-job"]
    assert job["State"]["ExitCode"] == 78
    assert job["RestartCount"] <= 3
    assert "were removed by another writer" in lake.compose("logs", "--no-color", "spark-job")

    environment = {**lake.environment, "ENV_FILE": os.devnull, "YES": "1"}
    command = [sys.executable, "-m", "finance_local.repair", "recover"]
    repaired = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr

    lake.chown_data()  # as `make up` does
    lake.up()
    lake.compose("stop", "producer")
    end = describe_topic(f"127.0.0.1:{lake.kafka_port}", "finance").end
    wait_until(lambda: lake.rows() >= sum(end.values()), 180, lambda: f"the tables reach the end offsets\n{lake.logs()}")
    verdict = lake.compose("exec", "--no-TTY", "spark-job", "python", "-m", "finance_lake", "verify", "--values")
    assert verdict.splitlines()[-1].startswith("complete: 0 lost, 0 doubled")
