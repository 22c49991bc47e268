"""The roles as processes: how each starts, when it is ready, and how long it may take to stop.

There are five, with KRaft four, with S3=1 one more; `cluster_roles` has those of CLUSTER=1.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finance_local.config import BROKERS, OBJECT_STORE, WORKERS, ZOOKEEPERS
from finance_role import own_store
from finance_role.environment import composed
from finance_role.heartbeat import heartbeat_file, is_alive
from finance_role.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from finance_local.config import Settings

BROKER = Path("kafka/broker").resolve()
S3 = Path("s3").resolve()
BROKER_RESTARTS = 3


@dataclass(frozen=True)
class Role:
    """One role.

    Attributes:
        command, environment: how it starts; the environment is added to the common one of all processes
        is_ready: whether it is working; None for a one-shot, which is ready when it has ended with 0
        grace_seconds: time between SIGTERM and SIGKILL
        may_finish: whether it may end with 0 by itself
        takes_own_lock: whether the role acquires its lock itself; otherwise the supervisor acquires it and passes it on
        restarts: maximum number of restarts within RESTART_WINDOW_SECONDS, if it ends by itself after it was ready

    """

    name: str
    command: Sequence[str]
    grace_seconds: float
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], Awaitable[bool]] | None = None
    may_finish: bool = False
    takes_own_lock: bool = False
    restarts: int = 0


def broker_environment(settings: Settings) -> dict[str, str]:
    """Return what the scripts of the broker and of ZooKeeper read, apart from addresses and ports."""
    return {
        "KAFKA_JARS": str(settings.jars_of_the_broker.resolve()),
        "KAFKA_VERSION": settings.kafka_version,
        "BROKER_CONF": str(BROKER),
        "DATA_DIR": str(settings.data_dir.resolve()),
        "KAFKA_HEAP": settings.kafka_heap,
        "ZOOKEEPER_HEAP": settings.zookeeper_heap,
    }


def zookeeper_role(settings: Settings, name: str, port: int, **environment: str) -> Role:
    """Return the role of a ZooKeeper node that clients reach at a port."""
    return Role(
        name,
        [str(BROKER / "run-zookeeper")],
        grace_seconds=10,
        environment=broker_environment(settings) | {"ZOOKEEPER_BIND": LOOPBACK, "ZOOKEEPER_PORT": str(port)} | environment,
        is_ready=lambda: succeeds(str(BROKER / "probe-zookeeper"), LOOPBACK, str(port)),
    )


def broker_role(settings: Settings, name: str, port: int, **environment: str) -> Role:
    """Return the role of a broker that clients reach at a port."""
    listener = f"HOST://{LOOPBACK}:{port}"
    return Role(
        name,
        [str(BROKER / "run-broker")],
        grace_seconds=60,
        environment=broker_environment(settings) | {"KAFKA_LISTENERS": listener, "KAFKA_ADVERTISED": listener} | environment,
        restarts=BROKER_RESTARTS,
        is_ready=lambda: succeeds(str(BROKER / "probe-broker"), LOOPBACK, str(port)),
    )


def object_store_role(settings: Settings) -> Role:
    """Return the role of the S3 server of S3=1."""
    port, data_dir = str(settings.s3_port), settings.data_dir.resolve()
    return Role(
        OBJECT_STORE,
        [str(S3 / "run-s3")],
        grace_seconds=10,
        environment={
            "VERSITYGW": str(settings.s3_server.resolve()),
            "REFUSE_LINKS": str(BROKER / "refuse-links"),
            "DATA_DIR": str(data_dir),
            "S3_BIND": LOOPBACK,
            "S3_PORT": port,
            "S3_BUCKET": own_store.BUCKET,
            "S3_CREDENTIALS_FILE": str(own_store.credentials_file(data_dir)),
        },
        is_ready=lambda: succeeds(str(S3 / "probe-s3"), LOOPBACK, port),
        restarts=BROKER_RESTARTS,
    )


def client_roles(settings: Settings, topic: Mapping[str, str], job: Mapping[str, str]) -> list[Role]:
    """Return the roles that use the broker; `topic` and `job` are more variables of topic-init and of the job."""
    client = {"KAFKA_BOOTSTRAP": settings.broker_addresses, "DATA_DIR": str(settings.data_dir.resolve())}
    return [
        Role("topic-init", [sys.executable, "-m", "finance_topic"], grace_seconds=5, environment={**client, **topic}),
        Role(
            "producer",
            [sys.executable, "-m", "finance_producer"],
            grace_seconds=20,
            environment=client,
            is_ready=lambda: _is_alive(settings.data_dir, "producer"),
            may_finish=True,
            takes_own_lock=True,
        ),
        Role(
            "spark-job",
            [sys.executable, "-m", "finance_job"],
            grace_seconds=90,
            environment={**client, **job},
            is_ready=lambda: _is_alive(settings.data_dir, "spark-job"),
            takes_own_lock=True,
        ),
    ]


def single_roles(settings: Settings) -> list[Role]:
    """Return the roles of a lake with one broker, or with the brokers at KAFKA_BOOTSTRAP."""
    if settings.kafka_bootstrap:
        return [role for role in client_roles(settings, {}, {}) if role.name != "topic-init"]
    address = f"{LOOPBACK}:{settings.zookeeper_port}"
    metadata = (
        {"KAFKA_CONTROLLER": f"{LOOPBACK}:{settings.kafka_controller_port}"}
        if settings.kraft
        else {"ZOOKEEPER_CONNECT": address}
    )
    zookeeper = [] if settings.kraft else [zookeeper_role(settings, "zookeeper", settings.zookeeper_port)]
    return [*zookeeper, broker_role(settings, "kafka", settings.kafka_port, **metadata), *client_roles(settings, {}, {})]


# Roles that start together: producer and job do not depend on each other.
STARTING = ((*ZOOKEEPERS, OBJECT_STORE), BROKERS, ("topic-init", "spark-master"), WORKERS, ("spark-job", "producer"))
# Writers stop first, so that they can still flush; ZooKeeper stops last, so that the broker can deregister.
STOPPING = (
    *("producer", "spark-job", *WORKERS, "spark-master", OBJECT_STORE, "topic-init"),
    *(*reversed(BROKERS), *reversed(ZOOKEEPERS)),
)


async def succeeds(*command: str) -> bool:
    """Run a probe; return whether it has succeeded."""
    probe = await asyncio.create_subprocess_exec(
        *command, env=composed(settings=False), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await probe.wait() == 0


async def _is_alive(data_dir: Path, role: str) -> bool:
    return is_alive(heartbeat_file(data_dir, role))
