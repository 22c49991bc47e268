"""The kind of Kafka that a lake has: one broker with ZooKeeper or without it (KRaft), or three brokers with ZooKeeper.

The lake's folder shows it, and it cannot be mixed. Without ZooKeeper the release line is 3.9 or 4, and there is no way back.

Standard library only, because `make up` imports this module before anything is installed. kafka/broker/refuse-other-kind has
the same rule for a broker that is started in another way.
"""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

from finance_role import beneath

SWITCH = {"": False, "0": False, "1": True}
# The release lines of Kafka, the older one first. jars/ has a lock file of each.
OLDER, NEWER = VERSIONS = ("3.9", "4")


class Kind(StrEnum):
    """The kinds of Kafka; the values are the scripts' names for them."""

    ZOOKEEPER = "zookeeper"
    KRAFT = "kraft"
    CLUSTER = "cluster"


def switch(value: object) -> bool:
    """Return whether a value of the settings KRAFT or CLUSTER is on. Raises ValueError."""
    if isinstance(value, bool):
        return value
    if value not in SWITCH:
        raise ValueError("it must be 0 or 1")
    return SWITCH[str(value)]


def chosen(*, kraft: bool, cluster: bool, bootstrap: str | None = None) -> Kind:
    """Return the kind that the settings KRAFT and CLUSTER choose.

    Raises ValueError if they choose two, or one beside the brokers at KAFKA_BOOTSTRAP.
    """
    if bootstrap and (kraft or cluster):
        raise ValueError("KRAFT=1 and CLUSTER=1 choose brokers of the lake's own: set neither with KAFKA_BOOTSTRAP")
    if kraft and cluster:
        raise ValueError("the three brokers of CLUSTER=1 run with ZooKeeper: set only one of KRAFT and CLUSTER")
    return Kind.KRAFT if kraft else Kind.CLUSTER if cluster else Kind.ZOOKEEPER


def release_line(version: str, *, kraft: bool) -> str:
    """Return the release line that a value of KAFKA_VERSION chooses. Raises ValueError, also if it needs KRAFT=1."""
    if (version or OLDER) not in VERSIONS:
        raise ValueError(f"it must be {' or '.join(VERSIONS)}")
    if version == NEWER and not kraft:
        raise ValueError(f"Kafka {NEWER} has no ZooKeeper: set KRAFT=1 too, or KAFKA_VERSION={OLDER}")
    return version or OLDER


def of_lake(root: Path) -> Kind | None:
    """Return the kind of the lake's Kafka; None if the lake has no broker's data yet."""
    version = _version(root)
    if is_being_migrated(root):
        return Kind.ZOOKEEPER
    if (root / "zookeeper-2").is_dir() or (root / "kafka-2").is_dir():
        return Kind.CLUSTER
    if (root / "kraft").is_dir() or version == 1:
        return Kind.KRAFT
    return None if version is None else Kind.ZOOKEEPER


def version_of_lake(root: Path) -> str:
    """Return the release line of Kafka on which the lake's broker has started last."""
    try:
        text = beneath.read(root, root / "kraft" / "kafka.version").decode(errors="replace")
    except OSError:
        return OLDER
    return NEWER if text.strip() == NEWER else OLDER


def is_being_migrated(root: Path) -> bool:
    """Whether a migration to KRaft runs on this lake, or was interrupted."""
    return (root / "migration").is_dir()


def refusal(root: Path, wanted: Kind, version: str = OLDER) -> str | None:
    """Return why the lake cannot be started with this kind of Kafka and release line, and what to do; None if it can."""
    if is_being_migrated(root):
        return (
            f"The migration of the lake at {root} to KRaft was interrupted: "
            "run `make migrate-to-kraft` again, which completes it."
        )
    kind = of_lake(root)
    if kind is None or kind is wanted:
        return _newer_version(root, version) if kind is Kind.KRAFT else None
    if kind is Kind.KRAFT:
        return (
            f"The lake at {root} runs Kafka without ZooKeeper (KRaft): start it with KRAFT=1, on the command line or in .env."
        )
    if kind is Kind.CLUSTER:
        return f"The lake at {root} runs three brokers: start it with CLUSTER=1, on the command line or in .env."
    if wanted is Kind.CLUSTER:
        return (
            f"The lake at {root} runs one broker: start it without CLUSTER=1. A lake on three brokers needs another DATA_DIR."
        )
    return (
        f"The lake at {root} runs Kafka with ZooKeeper: start it without KRAFT=1, "
        "or migrate it once with `make migrate-to-kraft`."
    )


def _newer_version(root: Path, version: str) -> str | None:
    if version_of_lake(root) == version or version == NEWER:
        return None
    return (
        f"The lake at {root} has run Kafka {NEWER}, and Kafka {OLDER} must not go on from there: "
        f"start it with KAFKA_VERSION={NEWER}, on the command line or in .env."
    )


def _version(root: Path) -> int | None:
    """Return the version of the broker's meta.properties: 0 is written with ZooKeeper, 1 without it; None without the file."""
    try:
        text = beneath.read(root, root / "kafka" / "meta.properties").decode(errors="replace")
    except OSError:
        return None
    version = re.search(r"^version=(\d)", text, re.MULTILINE)
    return int(version[1]) if version else None
