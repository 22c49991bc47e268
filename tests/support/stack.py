"""Roles of the lake as real processes, for tests: `python -m finance_local`, as a user would run it."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
from confluent_kafka import Producer

from finance_kafka.describe import BrokerUnavailableError, describe_topic
from finance_role.environment import composed
from finance_role.settings import PlaceSettings
from finance_storage import delta_log
from finance_storage.delta_table import committed_offsets, open_table
from finance_storage.derived_tables import states
from finance_storage.lake_identity import numbered_in
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.1
# Limits are what a quiet machine needs with ease. Beside other tests, on a slow machine, the same takes several times as long.
PATIENCE = 4
# For JVMs that live for seconds: half of their CPU would go to the optimising compiler, and they end before it pays.
SHORT_LIVED = "-XX:TieredStopAtLevel=1"
DERIVED = ("bars_1m", "coverage_1m")


def free_port() -> int:
    """Return a port that is free now, and that this process has not returned before.

    Below the ports that the kernel picks for outgoing connections, and others in each worker of pytest-xdist: a service may
    take minutes until it listens.
    """
    return next(port for port in _PORTS if _is_free(port))


def _ports() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ports = range(10_000 + 2_000 * (worker % 10), 12_000 + 2_000 * (worker % 10))
    # Another run of the tests on this machine begins elsewhere.
    start = random.Random(os.getpid()).choice(ports)  # noqa: S311 (not a secret)
    return itertools.cycle([*range(start, ports.stop), *range(ports.start, start)])


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


_PORTS = _ports()


def wait_until(holds: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> None:
    """Poll until the condition holds; after PATIENCE times `seconds`, fail with `what` (called if it is a function)."""
    deadline = time.monotonic() + seconds * PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what if isinstance(what, str) else what()}")
        time.sleep(POLL_SECONDS)


def coordinates(paths: LakePaths) -> Counter[tuple[int, int]]:
    """Count how often each (partition, offset) is in the two tables together."""
    counts: Counter[tuple[int, int]] = Counter()
    for folder in (paths.ticks, paths.quarantine):
        table = open_table(folder)
        if table is not None:
            rows = table.to_pyarrow_table(columns=["kafka_partition", "kafka_offset"])
            counts.update(zip(*(rows.column(name).to_pylist() for name in rows.column_names), strict=True))
    return counts


def start(module: str, environment: Mapping[str, str], log: Path, group: int | None = None) -> psutil.Popen:
    """Start a module of the project in a session of its own, with its output in a file; `group` is its group of users."""
    with log.open("w") as output:
        return psutil.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=composed(environment, settings=False),
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            group=group,
        )


class Run:
    """One supervisor and its roles; their output goes to a file that is shown on failure."""

    def __init__(self, folder: Path, name: str, environment: Mapping[str, str]) -> None:
        """Start the supervisor."""
        self.log = folder / f"{name}.log"
        self.process = start("finance_local", environment, self.log)

    def text(self) -> str:
        """Return the output so far."""
        return self.log.read_text()

    def wait_for(self, pattern: str, seconds: float = 180) -> None:
        """Wait until the output matches; fail if the supervisor ends before, or after `seconds`."""

        def printed() -> bool:
            if re.search(pattern, self.text()):
                return True
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode} before {pattern!r}:\n{self.text()[-4000:]}"
            )
            return False

        wait_until(printed, seconds, lambda: f"{pattern!r} in\n{self.text()[-4000:]}")

    def count(self, pattern: str) -> int:
        """Count the matches in the output so far."""
        return len(re.findall(pattern, self.text()))

    def role_process(self, role: str) -> psutil.Process:
        """Return the process of a role; for ZooKeeper and the broker, the JVM."""
        marks = {
            "zookeeper": "QuorumPeerMain",
            "kafka": "kafka.Kafka",
            "producer": "finance_producer",
            "spark-job": "finance_job",
        }
        for process in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # for example a probe that has ended meanwhile
                command = process.cmdline()
                if any(marks[role] in part for part in command) and "bash" not in command[0]:
                    return process
        raise AssertionError(f"{role} does not run:\n{self.text()[-4000:]}")

    def end(self, seconds: float = 180) -> int:
        """Wait for the supervisor to end by itself; return its exit code."""
        try:
            return self.process.wait(seconds * PATIENCE)
        except psutil.TimeoutExpired:
            raise AssertionError(f"still running after {seconds * PATIENCE:.0f} s:\n{self.text()[-4000:]}") from None

    def stop(self, seconds: float = 120) -> int:
        """Stop it like Ctrl-C, and check that no process is left behind."""
        if self.process.poll() is None:
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(signal.SIGINT)
            code = self.end(seconds)
            remaining = [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
            assert not remaining, f"left behind: {remaining}"
            return code
        return int(self.process.returncode)

    def kill_everything(self) -> None:
        """Kill all processes, whatever the test did; the last resort of a fixture."""
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        for process in family:
            group = process.pid
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                process.kill() if process.is_running() else None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def wait_for_derived(paths: LakePaths, seconds: float, log: Callable[[], str] = str) -> None:
    """Wait until each derived table has the ticks that are stored now. `log` returns what a failure reports."""
    ticks = open_table(paths.ticks)
    commits = delta_log.entries(paths.ticks, ticks.version() if ticks else 0)
    newest = next((commit.version for commit in commits if commit.rows), 0)  # one without ticks makes no revision

    def has_them() -> bool:
        as_of = {state.name: state.as_of for state in states(paths)}
        return all((as_of.get(name) or -1) >= newest for name in DERIVED)

    wait_until(has_them, seconds, lambda: f"derived tables as of version {newest}: {states(paths)}\n{log()}")


@dataclass
class Stack:
    """A broker with one topic, and a separate data folder for producer and job. `jvm` are further options of each JVM."""

    folder: Path
    kafka_port: int
    zookeeper_port: int
    topic: str
    jvm: str = ""
    runs: list[Run] = field(default_factory=list)
    lake: Mapping[str, str] = field(default_factory=dict)  # settings of a lake in an object store

    @property
    def paths(self) -> LakePaths[Path]:
        """The paths of this test's lake; in an object store only its locks and scratch files are here."""
        return LakePaths(self.folder / "data")

    @property
    def place(self) -> LakePaths:
        """The paths of the lake, wherever it is."""
        return LakePaths.of(PlaceSettings(data_dir=self.paths.root, **self.lower(self.lake)))

    @staticmethod
    def lower(settings: Mapping[str, str]) -> dict[str, Any]:
        """Return settings by the names of their fields."""
        return {name.lower(): value for name, value in settings.items()}

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return f"127.0.0.1:{self.kafka_port}"

    def run(self, roles: str, **environment: str | float) -> Run:
        """Start roles."""
        run = Run(
            self.folder,
            f"{len(self.runs)}-{roles.replace(' ', '+')}",
            {
                "ENV_FILE": os.devnull,
                "ROLES": roles,
                "DATA_DIR": str(self.paths.root),
                "KAFKA_PORT": str(self.kafka_port),
                "ZOOKEEPER_PORT": str(self.zookeeper_port),
                "KAFKA_TOPIC": self.topic,
                "SPARK_UI_PORT": "0",
                "JVM_OF_TESTS": self.jvm,
                "HISTORY_MINUTES": "0",  # most tests and benchmarks count ticks, from the first one on
                **self.lake,
                **{key: str(value) for key, value in environment.items()},
            },
        )
        self.runs.append(run)
        return run

    def make_topic(self) -> Self:
        """Run topic-init to its end, without a supervisor."""
        made = self._module("finance_topic")
        assert made.returncode == 0, made.stdout + made.stderr
        assert "topic ready" in made.stdout + made.stderr
        return self

    def send(self, values: Iterable[bytes | None]) -> None:
        """Publish records and wait for all acknowledgements."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})
        faults: list[object] = []
        for value in values:
            producer.produce(self.topic, value, on_delivery=lambda error, _: faults.append(error) if error else None)
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not faults

    def end_offsets(self) -> dict[int, int]:
        """Query the broker for the topic's end offsets."""
        return describe_topic(self.bootstrap, self.topic).end

    def lake_ends(self) -> dict[int, int]:
        """Return where each partition of the lake ends: of its topic now, and of those before it if it has adopted one."""
        return numbered_in(self.place, describe_topic(self.bootstrap, self.topic)).end

    def stored(self) -> Counter[tuple[int, int]]:
        """Count how often each (partition, offset) is in the two tables together."""
        return coordinates(self.place)

    def wait_until_stored(self, seconds: float = 180) -> None:
        """Wait until the tables have reached the topic's end. The broker is asked again only after a commit."""
        asked_at: Mapping[int, int] | None = None

        def reached() -> bool:
            nonlocal asked_at
            committed = committed_offsets(self.place.ticks)
            if committed == asked_at:
                return False
            try:
                ends = self.lake_ends()
            except BrokerUnavailableError:
                return False
            asked_at = committed
            return all(committed.get(partition, 0) >= end for partition, end in ends.items())

        wait_until(reached, seconds, lambda: f"all of {self.topic} stored; last run:\n{self.runs[-1].text()[-4000:]}")

    def verify(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `financelake verify` on the lake as a process."""
        return self._module("finance_lake", "verify", *options)

    def _module(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a Python module of the project on this lake."""
        lake = {"DATA_DIR": str(self.paths.root), "KAFKA_BOOTSTRAP": self.bootstrap, "KAFKA_TOPIC": self.topic, **self.lake}
        command = [sys.executable, "-m", name, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=composed(lake, settings=False), capture_output=True, text=True, check=False
        )

    def repair(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `make recover` or `make redrive` for this lake, in a process group of its own."""
        lake = {
            "ENV_FILE": os.devnull,
            "DATA_DIR": str(self.paths.root),
            "KAFKA_PORT": str(self.kafka_port),
            "ZOOKEEPER_PORT": str(self.zookeeper_port),
            "KAFKA_TOPIC": self.topic,
        }
        return subprocess.run(
            [sys.executable, "-m", "finance_local.repair", command],
            cwd=ROOT,
            env=composed({**lake, **environment}, settings=False),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def assert_proven(self) -> str:
        """Assert that `verify --values` succeeds; return what it prints."""
        verified = self.verify("--values")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        return verified.stdout

    def assert_completed_by(self, run: Run) -> None:
        """Wait until all is stored, stop the run, and assert that the tables are complete."""
        self.wait_until_stored()
        assert run.stop() == 0
        self.assert_complete()

    def assert_complete(self) -> None:
        """Assert that each offset of the topic, and of those before it, is in the tables exactly once."""
        expected = {(partition, offset) for partition, end in self.lake_ends().items() for offset in range(end)}
        stored = self.stored()
        lost, foreign = sorted(expected - set(stored)), sorted(set(stored) - expected)
        assert not lost + foreign, f"lost: {lost[:10]}, foreign: {foreign[:10]}"
        duplicates = [coordinate for coordinate, count in stored.items() if count > 1]
        assert not duplicates, f"twice: {duplicates[:10]}"
