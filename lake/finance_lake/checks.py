"""Checks of this machine: each reports what it found, how to fix it, and which ways to run the lake need it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from deltalake.exceptions import DeltaError

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_lake.status import UP, services
from finance_role.environment import JAVA, allows_execution, composed, foreign, stale_java_home
from finance_role.ports import is_free, listens
from finance_storage.lake_identity import CorruptStateError, read_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_kafka.describe import TopicDescription
    from finance_lake.config import Settings
    from finance_storage.lake_identity import Identity
    from finance_storage.paths import LakePaths

DISK_GB, MEMORY_GB = 2, 2
GB = 1024**3
BROKER_TIMEOUT_SECONDS = 1.0
COMMAND_SECONDS = 10
PROJECT = Path(__file__).parents[2]
OF_DOCKER = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "XDG_RUNTIME_DIR")
UNUSABLE = set(":\n\r")


class Way(StrEnum):
    """The ways to run the lake."""

    LOCAL = "make local"
    CONTAINERS = "make up"


BOTH = (Way.LOCAL, Way.CONTAINERS)


class Check(msgspec.Struct, frozen=True):
    """The result of one check.

    Attributes:
        name, fine, found: what was checked, whether it is in order, and what was found
        mend: how to fix it; empty if it is in order
        needed: the ways to run the lake that cannot work without it; empty for advice

    """

    name: str
    fine: bool
    found: str
    mend: str = ""
    needed: tuple[Way, ...] = ()


class Findings(NamedTuple):
    """The results of all checks, and whether the lake is running."""

    runs: bool
    checks: list[Check]

    @property
    def possible(self) -> list[Way]:
        """The ways to run the lake that can work."""
        return [way for way in BOTH if all(check.fine for check in self.checks if way in check.needed)]


def examine(paths: LakePaths, settings: Settings) -> Findings:
    """Run all checks."""
    broker = _broker(settings)
    own = _is_own(paths, broker)
    checks = [
        _java(),
        _docker(),
        *_ports(paths, settings, broker, own_broker=own),
        _disk(paths.folder),
        _memory(),
        _folder(paths.folder),
        _scratch(paths.folder),
        _paths(),
        _environment(),
        _encoding(),
        *_brokers_of_others(settings),
        *_listeners(settings, broker),
    ]
    return Findings(own and services(paths, broker_up=True)["spark-job"] == UP, checks)


def _java() -> Check:
    output = _output(f"{home}/bin/java" if (home := composed().get("JAVA_HOME")) else "java", "-version")
    version = re.search(r'version "(\d+)', output or "")
    fine = version is not None and int(version[1]) >= JAVA
    mend = "" if fine else "`sudo apt-get install openjdk-17-jre-headless` (Debian), `brew install openjdk@17` (macOS)."
    return Check("Java", fine, f"version {version[1]}" if version else "none", mend, (Way.LOCAL,))


def _docker() -> Check:
    needed = (Way.CONTAINERS,)
    if (compose := _output("docker", "compose", "version", "--short")) is None:
        mend = "`sudo apt-get install docker.io docker-compose` (Debian), `brew install --cask docker` (macOS)."
        return Check("Docker", fine=False, found="no Docker with Compose v2", mend=mend, needed=needed)
    if (engine := _output("docker", "info", "--format", "{{.ServerVersion}}")) is None:
        mend = "start it: `sudo systemctl start docker` (Debian), `open -a Docker` (macOS)."
        return Check("Docker", fine=False, found=f"Compose {compose.strip()}, but no engine responds", mend=mend, needed=needed)
    return Check("Docker", fine=True, found=f"engine {engine.strip()}, Compose {compose.strip()}", needed=needed)


def _ports(paths: LakePaths, settings: Settings, broker: TopicDescription | None, *, own_broker: bool) -> Iterator[Check]:
    state = services(paths, broker_up=broker is not None and own_broker)
    metadata = [("ZOOKEEPER_PORT", settings.zookeeper_port, (Way.LOCAL,), state.get("zookeeper") == UP)]
    if settings.kraft or "zookeeper" not in state:
        metadata = [("KAFKA_CONTROLLER_PORT", settings.kafka_controller_port, (Way.LOCAL,), own_broker)]
    ports = (
        *((key, port, BOTH, own_broker) for key, port in settings.broker_ports.items()),
        *([] if settings.kafka_bootstrap else metadata),
        ("SPARK_UI_PORT", settings.spark_ui_port, BOTH, state["spark-job"] == UP),
    )
    for key, port, needed, own in ports:
        free = not port or is_free(port)
        found = "is free" if free else "is used by this lake" if own else "is in use by another program"
        mend = "" if free or own else f"stop that program, or set {key} in .env to another port."
        yield Check(key, free or own, f"{port} {found}" if port else "switched off", mend, needed)


def _disk(root: Path) -> Check:
    free = shutil.disk_usage(_existing(root)).free / GB
    fine = free >= DISK_GB
    return Check("disk", fine, f"{free:.1f} GB free", "" if fine else f"free up {DISK_GB} GB on the volume of {root}.", BOTH)


def _existing(root: Path) -> Path:
    """Return the folder, or the nearest parent that exists."""
    return next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())


def _scratch(root: Path) -> Check:
    """Check that native libraries can be loaded from below DATA_DIR/run/tmp, where Java unpacks them."""
    fine = allows_execution(_existing(root))
    found = f"files below {root} {'can' if fine else 'cannot'} be executed"
    mend = "" if fine else "the volume is mounted noexec: mount it with exec, or set DATA_DIR to a folder on another volume."
    return Check("temporary", fine, found, mend, () if fine else BOTH)


def _paths() -> Check:
    """Check the project's path: a colon splits a class path, and a line break splits a shell line. Neither can be quoted."""
    fine = not set(str(PROJECT)) & UNUSABLE
    mend = "" if fine else "move the project to a folder whose path has no colon and no line break."
    return Check("project", fine, f"is at {PROJECT}", mend, () if fine else (Way.LOCAL,))


def _environment() -> Check:
    """Name variables that could affect Java, Spark or Kafka. They are not passed on to the lake, so they are no fault."""
    names = ", ".join(foreign())
    found = [f"{names}: set here, but not passed on to the lake"] if names else []
    mend = ""
    if home := stale_java_home():
        found.append(f"JAVA_HOME={home} has no Java {JAVA}, so the one on the PATH is used")
        mend = f"`unset JAVA_HOME`, or set it to an installed Java {JAVA}."
    return Check("environment", not mend, "; ".join(found) or "no conflicting variables", mend)


def _encoding() -> Check:
    encoding = sys.__stdout__.encoding if sys.__stdout__ else "none"
    fine = encoding.lower().replace("-", "") == "utf8"
    mend = "" if fine else "`export LANG=C.UTF-8` for this terminal; the lake itself always uses UTF-8."
    return Check("encoding", fine, f"this terminal uses {encoding}", mend)


def _memory() -> Check:
    free = _available() / GB
    fine = free >= MEMORY_GB
    mend = (
        ""
        if fine
        else f"close other programs: the lake needs {MEMORY_GB} GB; SPARK_HEAP and KAFKA_HEAP in .env set how it divides them."
    )
    return Check("memory", fine, f"{free:.1f} GB available", mend)


def _available() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _folder(root: Path) -> Check:
    if not root.exists():
        parent = next(folder for folder in root.absolute().parents if folder.exists())
        fine = os.access(parent, os.W_OK)
        return Check("data", fine, f"{root} does not exist yet", "" if fine else f"`sudo chown {_me()} {parent}`.", BOTH)
    folders = (root, *(folder for folder in root.iterdir() if folder.is_dir()))
    closed = [folder for folder in folders if not os.access(folder, os.R_OK | os.W_OK | os.X_OK)]
    if closed:
        found = f"{closed[0]} belongs to another user"
        return Check("data", fine=False, found=found, mend=f"`sudo chown -R {_me()} {root}`.", needed=BOTH)
    return Check("data", fine=True, found=f"{root} is writable", needed=BOTH)


def _brokers_of_others(settings: Settings) -> Iterator[Check]:
    """Check that a broker responds at KAFKA_BOOTSTRAP, if it is set."""
    if settings.kafka_bootstrap:
        fine = bool(_advertised(settings.kafka_bootstrap))
        found = f"{settings.kafka_bootstrap} {'responds' if fine else 'does not respond'}"
        mend = "" if fine else "start that broker, or correct KAFKA_BOOTSTRAP in .env."
        yield Check("KAFKA_BOOTSTRAP", fine, found, mend, BOTH)


def _listeners(settings: Settings, broker: TopicDescription | None) -> Iterator[Check]:
    """Check that the addresses that the broker advertises are reachable from here."""
    if broker is None:
        return
    for host, port in _advertised(settings.broker_addresses):
        fine = listens(host, port, BROKER_TIMEOUT_SECONDS)
        mend = "" if fine else _reachable(settings)
        yield Check("listener", fine, f"the broker advertises {host}:{port}", mend)


def _reachable(settings: Settings) -> str:
    if settings.kafka_bootstrap:
        return "set the broker's advertised.listeners to an address that this machine reaches."
    return f"use the listener of this machine, 127.0.0.1:{settings.kafka_port}; containers use kafka:19092."


def _advertised(bootstrap: str) -> list[tuple[str, int]]:
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        brokers = admin.list_topics(timeout=BROKER_TIMEOUT_SECONDS).brokers.values()
    except KafkaException:
        return []
    return [(str(broker.host), broker.port) for broker in brokers]


def _broker(settings: Settings) -> TopicDescription | None:
    if not settings.kafka_bootstrap and all(map(is_free, settings.broker_ports.values())):
        return None
    try:
        return describe_topic(settings.broker_addresses, settings.kafka_topic, BROKER_TIMEOUT_SECONDS)
    except (BrokerUnavailableError, TopicNotFoundError):
        return None


def _is_own(paths: LakePaths, broker: TopicDescription | None) -> bool:
    identity = _identity(paths)
    return broker is not None and (identity is None or identity.current.cluster == broker.cluster)


def _identity(paths: LakePaths) -> Identity | None:
    try:
        return read_identity(paths)
    except (CorruptStateError, DeltaError):
        return None


def _me() -> str:
    return f"{os.getuid()}:{os.getgid()}"


def _output(*command: str) -> str | None:
    """Return a command's output on both streams; None if it fails or does not exist."""
    try:
        completed = subprocess.run(
            command,
            env=composed(also=OF_DOCKER),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            errors="replace",
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout if completed.returncode == 0 else None
