"""The roles of CLUSTER=1: three ZooKeeper nodes, three brokers, a Spark master and two workers, beside topic, producer and job.

All run on this machine and listen on the loopback interface. ZooKeeper's nodes use ZOOKEEPER_PORT and the eight ports after it,
Spark's master and workers use SPARK_MASTER_PORT and the three ports after it.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from finance_local.config import BROKERS, OBJECT_STORE, WORKERS, ZOOKEEPERS
from finance_local.roles import (
    BROKER_RESTARTS,
    Role,
    broker_role,
    client_roles,
    object_store_role,
    single_roles,
    succeeds,
    zookeeper_role,
)
from finance_role.ports import LOOPBACK
from finance_role.spark_secret import secret_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from finance_local.config import Settings

MASTER = "spark-master"


def all_roles(settings: Settings) -> dict[str, Role]:
    """Return all roles of the settings' kind by name; `roles.STARTING` and `roles.STOPPING` have their order."""
    roles = _cluster_roles(settings) if settings.cluster else single_roles(settings)
    store = [object_store_role(settings)] if settings.s3 else []
    return {role.name: role for role in (*store, *roles)}


def ports_of(settings: Settings) -> dict[str, list[tuple[str, int]]]:
    """Return the ports on which each role listens, with the key that sets them; 0 is any free port."""
    controller = [("KAFKA_CONTROLLER_PORT", settings.kafka_controller_port)] if settings.kraft else []
    brokers = {name: [port] for name, port in zip(BROKERS, settings.broker_ports.items(), strict=False)}
    if controller:
        brokers["kafka"] += controller
    store = {OBJECT_STORE: [("S3_PORT", settings.s3_port)]} if settings.s3 else {}
    others = {"spark-job": [("SPARK_UI_PORT", settings.spark_ui_port)], **store}
    if not settings.cluster:
        return {"zookeeper": [("ZOOKEEPER_PORT", settings.zookeeper_port)], **brokers, **others}
    nodes = {
        name: [("ZOOKEEPER_PORT", port) for port in ports] for name, ports in zip(ZOOKEEPERS, _nodes(settings), strict=True)
    }
    first, ui, *workers = range(settings.spark_master_port, settings.spark_master_port + 2 + len(WORKERS))
    spark = {MASTER: [first, ui], **{name: [port] for name, port in zip(WORKERS, workers, strict=True)}}
    return {
        **nodes,
        **brokers,
        **{name: [("SPARK_MASTER_PORT", port) for port in ports] for name, ports in spark.items()},
        **others,
    }


def _cluster_roles(settings: Settings) -> list[Role]:
    job = {"SPARK_MASTER": _master(settings), "SPARK_HOST": LOOPBACK, "SPARK_SECRET_FILE": _secret(settings)}
    return [
        *_zookeepers(settings),
        *_brokers(settings),
        _spark_role(settings, MASTER, settings.spark_master_port + 1),
        *(_spark_role(settings, name, settings.spark_master_port + 2 + at) for at, name in enumerate(WORKERS)),
        *client_roles(settings, {"KAFKA_REPLICATION": str(len(BROKERS))}, job),
    ]


def _nodes(settings: Settings) -> list[tuple[int, int, int]]:
    """Return each ZooKeeper node's ports: for clients, for the nodes' own data, for elections."""
    count = len(ZOOKEEPERS)
    return [
        (first, first + count, first + 2 * count) for first in range(settings.zookeeper_port, settings.zookeeper_port + count)
    ]


def _zookeepers(settings: Settings) -> list[Role]:
    nodes = _nodes(settings)
    servers = " ".join(f"{LOOPBACK}:{data}:{election}" for _, data, election in nodes)
    return [
        replace(
            zookeeper_role(settings, name, clients, ZOOKEEPER_NODE=str(number), ZOOKEEPER_SERVERS=servers),
            restarts=BROKER_RESTARTS,
        )
        for number, (name, (clients, *_)) in enumerate(zip(ZOOKEEPERS, nodes, strict=True), start=1)
    ]


def _brokers(settings: Settings) -> list[Role]:
    common = {
        "ZOOKEEPER_CONNECT": ",".join(f"{LOOPBACK}:{clients}" for clients, *_ in _nodes(settings)),
        "KAFKA_REPLICATION": str(len(BROKERS)),
    }
    ports = settings.broker_ports.values()
    return [
        broker_role(settings, name, port, **common, KAFKA_NODE=str(number))
        for number, (name, port) in enumerate(zip(BROKERS, ports, strict=True), start=1)
    ]


def _spark_role(settings: Settings, name: str, ui_port: int) -> Role:
    probe: Sequence[str] = (sys.executable, "-m", "finance_role.probe_spark", LOOPBACK, str(ui_port))
    return Role(
        name,
        [sys.executable, "-m", "finance_job.standalone", name],
        grace_seconds=15,
        environment={
            "DATA_DIR": str(settings.data_dir.resolve()),
            "SPARK_MASTER": _master(settings),
            "SPARK_HOST": LOOPBACK,
            "SPARK_UI_PORT": str(ui_port),
            "SPARK_SECRET_FILE": _secret(settings),
        },
        is_ready=lambda: succeeds(*probe),
        takes_own_lock=True,
        restarts=BROKER_RESTARTS,
    )


def _master(settings: Settings) -> str:
    return f"spark://{LOOPBACK}:{settings.spark_master_port}"


def _secret(settings: Settings) -> str:
    return str(secret_file(settings.data_dir.resolve()))
