"""Checks before anything starts: the lake is stopped, topic and Kafka are its own or fit; Java, ports, folders are fine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from finance_kafka.describe import describe_topic
from finance_local.cluster_roles import ports_of
from finance_local.config import BROKERS, OBJECT_STORE, ZOOKEEPERS
from finance_role import beneath, broker_kind, own_store
from finance_role.environment import UnusableScratchError, composed, require_execution
from finance_role.lock import hold
from finance_role.ports import is_free
from finance_storage.accounting import topic_mismatches
from finance_storage.lake_identity import CorruptStateError, read_identity
from finance_storage.paths import LakePaths
from finance_topic import check

if TYPE_CHECKING:
    from finance_local.config import Settings
    from finance_storage.lake_identity import Identity

REQUIRE = Path("local/require").resolve()


class UnfitMachineError(Exception):
    """Something is missing or in use; the message says what and how to fix it."""


class OtherTopicError(Exception):
    """The lake holds another topic than the configured one; the message names both."""


class OtherKindError(Exception):
    """The lake has another kind of Kafka than the configured one; the message says what to do."""


def require_fit(settings: Settings) -> None:
    """Raise AlreadyRunningError, OtherTopicError, OtherKindError or UnfitMachineError if the roles could not run."""
    require_stopped(settings)
    require_the_lakes_topic(settings)
    require_the_lakes_kind(settings)
    require_java()
    require_jars(settings)
    require_s3_server(settings)
    require_usable_folders(settings)
    require_free_ports(settings)


def require_stopped(settings: Settings) -> None:
    """Raise AlreadyRunningError if one of the roles already runs; the message says since when and in which process."""
    for role in settings.roles:
        hold(settings.data_dir, role).close()


def require_the_lakes_topic(settings: Settings) -> None:
    """Raise OtherTopicError if KAFKA_TOPIC is not the lake's topic, before a tick is sent to it."""
    identity = _identity(settings)
    if identity and identity.topic != settings.kafka_topic:
        raise OtherTopicError(
            f"The lake at {settings.data_dir} holds the topic {identity.topic}; KAFKA_TOPIC={settings.kafka_topic} is another "
            f"topic: set KAFKA_TOPIC={identity.topic}, or set DATA_DIR to another folder for {settings.kafka_topic}."
        )


def _identity(settings: Settings) -> Identity | None:
    """Return the lake's identity; None if there is none, or none that can be read: the job reports that and how to fix it."""
    if OBJECT_STORE in settings.roles:  # it does not run yet
        return None
    try:
        return read_identity(LakePaths.of(settings))
    except (CorruptStateError, DeltaError):
        return None


def require_the_lakes_kind(settings: Settings, *, adopts: bool = False) -> None:
    """Raise OtherKindError if a broker is to start on a lake that has one of another kind, or none of its own.

    A lake that adopts a topic may begin a broker of its own.
    """
    runs_a_broker = not {*ZOOKEEPERS, *BROKERS}.isdisjoint(settings.roles)
    begins_one = adopts or broker_kind.of_lake(settings.data_dir) is not None
    if runs_a_broker and not begins_one and (identity := _identity(settings)):
        raise OtherKindError(
            f"The lake at {settings.data_dir} has no broker of its own; its topic {identity.topic} is in the Kafka cluster "
            f"{identity.current.cluster}: set KAFKA_BOOTSTRAP to the address of that cluster, or restore the lake's folder "
            "kafka. If both are lost, `make recover ADOPT=1` begins a new topic and takes the lake over to it."
        )
    if runs_a_broker and (refusal := broker_kind.refusal(settings.data_dir, settings.kind, settings.kafka_version)):
        raise OtherKindError(refusal)
    if refusal := own_store.refusal(settings.data_dir, chosen=settings.s3, lake_uri=settings.lake_uri):
        raise OtherKindError(refusal)


def topic_of_others(settings: Settings) -> list[str]:
    """Check the topic at KAFKA_BOOTSTRAP, and return lines about the promises that it breaks; none without KAFKA_BOOTSTRAP.

    Raises BrokerUnavailableError and TopicNotFoundError, OtherTopicError if the lake holds the topic of another cluster, and
    UnfitTopicError if the lake cannot start with it.
    """
    if settings.kafka_bootstrap is None:
        return []
    if identity := _identity(settings):
        topic = describe_topic(settings.kafka_bootstrap, settings.kafka_topic)
        for mismatch in topic_mismatches(identity, topic):
            raise OtherTopicError(str(mismatch))
    found = check.require_fit_topic(
        check.Settings(
            data_dir=settings.data_dir,
            kafka_bootstrap=settings.kafka_bootstrap,
            kafka_topic=settings.kafka_topic,
            tick_source=settings.tick_source if "producer" in settings.roles else "none",
        )
    )
    return list(found.lines())


def require_java() -> None:
    """Raise UnfitMachineError if there is no Java of the right version."""
    result = subprocess.run([REQUIRE, "java"], env=composed(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise UnfitMachineError(result.stderr.strip())


def require_jars(settings: Settings) -> None:
    """Raise UnfitMachineError if a broker of Kafka 4 is to start and its jars are missing."""
    jars = settings.jars_of_the_broker
    if settings.kafka_version == broker_kind.NEWER and BROKERS[0] in settings.roles and not (jars / ".ready").is_file():
        raise UnfitMachineError(f"{jars} does not have all jars of Kafka 4: `make {jars}/.ready` fetches them.")


def require_s3_server(settings: Settings) -> None:
    """Raise UnfitMachineError if the server of S3=1 is not built."""
    if OBJECT_STORE in settings.roles and not settings.s3_server.is_file():
        raise UnfitMachineError(f"{settings.s3_server} is missing: `make build/s3/versitygw` builds the S3 server.")


def require_usable_folders(settings: Settings) -> None:
    """Raise UnfitMachineError if Java could not load libraries that it unpacks below DATA_DIR, or not find its jars."""
    jars = settings.jars_of_the_broker.resolve()
    if ":" in str(jars):
        raise UnfitMachineError(
            f"Java reads the colon in {jars} as the end of a path: move the project to a folder without a colon in its path."
        )
    folder = settings.data_dir / "run" / "tmp"
    beneath.make_folder(settings.data_dir, folder)
    try:
        require_execution(folder)
    except UnusableScratchError as error:
        raise UnfitMachineError(str(error)) from None


def require_free_ports(settings: Settings) -> None:
    """Raise UnfitMachineError if a port that a role will listen on is in use."""
    ports = ports_of(settings)
    needed = [port for role in settings.roles for port in ports.get(role, ())]
    taken = [f"port {port} is taken: set {key} in .env to another one" for key, port in needed if port and not is_free(port)]
    if taken:
        raise UnfitMachineError("; ".join(taken) + "; or stop the process that listens there.")
