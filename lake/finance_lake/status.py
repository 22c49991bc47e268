"""The state of the lake: which services run, how far the tables are behind the topic, and the last verdict.

A role is up until the deadline in its heartbeat file. The lag in seconds is the age of the oldest record that waits.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_lake.query.snapshot import open_snapshot
from finance_role import beneath, broker_kind
from finance_role.heartbeat import heartbeat_file, is_alive
from finance_role.ports import listens
from finance_storage import delta_log, place
from finance_storage.accounting import still_to_come
from finance_storage.derived_tables import Pause, states
from finance_storage.lake_identity import CorruptStateError, identity_of
from finance_verify.verdict import Verdict, last_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import OffsetRange, Offsets
    from finance_lake.query.snapshot import Snapshot
    from finance_storage.derived_tables import DerivedState
    from finance_storage.lake_identity import Identity
    from finance_storage.paths import LakePaths

    Oldest = Callable[[Mapping[int, OffsetRange], int], float | None]

UP, DOWN, UNKNOWN = "up", "down", "unknown"
BROKER_TIMEOUT_SECONDS = 0.7
LOCKS = Path("/proc/locks")
JOB = "spark-job"
BEATING = ("producer", JOB)
COMMITS_LOOKED_AT = 100
# How long a job may take for one batch before acknowledged ticks count as waiting.
QUIET_SECONDS = 5.0
# A ledger is written about once a second, so its time may be later than the commit of its ticks.
LEDGER_SECONDS = 2.0
LEDGERS_LOOKED_AT = 10
LAST_LINE_BYTES = 4096


def describe_topic_quickly(bootstrap: str, topic: str) -> TopicDescription:
    """Describe the topic with a short timeout. If nothing listens, fail fast: the client would retry until its timeout."""
    addresses = [address.rpartition(":") for address in bootstrap.split(",")]
    if not any(port.isdecimal() and listens(host, int(port), BROKER_TIMEOUT_SECONDS) for host, _, port in addresses):
        raise BrokerUnavailableError(f"no broker answers at {bootstrap}")
    return describe_topic(bootstrap, topic, BROKER_TIMEOUT_SECONDS)


class DerivedStatus(msgspec.Struct, frozen=True):
    """How far a derived table is, such as `bars_1m`.

    Attributes:
        name: `bars_1m` is stored in `finance_bars_1m`
        as_of: version of the table of ticks that it was computed from; None before the first time
        lag_seconds: age of the oldest commit with ticks that it lacks; 0 if it lacks none, None if not known
        pause: why it does not follow the ticks at the moment

    """

    name: str
    as_of: int | None
    lag_seconds: float | None
    pause: Pause | None


class LakeStatus(msgspec.Struct, frozen=True):
    """The state of the lake at one point in time.

    Attributes:
        data: the lake's folder
        services: up, down or unknown, by name
        broker: None if it responded; else why the lag is unknown
        rows, quarantined: live rows of the tables
        version: version of the table of ticks
        committed_seconds: seconds since its newest commit with ticks
        heartbeats: seconds since each role renewed its heartbeat, by name; None if it never has
        tick_seconds: seconds since the newest tick reached the topic; None without ticks
        ends, position: end offsets of the topic, and the tables' position, by the lake's partition
        lag: records of the topic that are not in the tables yet; None if the broker did not respond
        lag_seconds: seconds since the oldest record that waits reached the topic; 0 if none waits. Without a broker: seconds
            for which the tables have not changed while ticks wait, as far as heartbeats and ledgers show
        verdict: the last verdict of verify
        finalized_until: the day before which all days are sealed; None if no day is
        derived: how far each derived table is

    """

    data: str
    services: dict[str, str]
    heartbeats: dict[str, float | None]
    broker: str | None
    rows: int
    quarantined: int
    version: int
    committed_seconds: float
    tick_seconds: float | None
    ends: Offsets | None
    position: Offsets
    lag: int | None
    lag_seconds: float
    verdict: Verdict | None
    finalized_until: date | None = None
    derived: tuple[DerivedStatus, ...] = ()


def lake_status(paths: LakePaths, broker: Callable[[], TopicDescription], oldest: Oldest) -> LakeStatus:
    """Return the state of the lake. Raises NoLakeError, UnreadableError.

    Args:
        paths: the lake
        broker: describes the topic; may raise BrokerUnavailableError, TopicNotFoundError
        oldest: returns the oldest timestamp of the first records of offset ranges by the lake's partition, in seconds since
            1970, or None; it also gets the lake's number of the topic's partition 0; may raise BrokerUnavailableError

    """
    snapshot = open_snapshot(paths)
    topic, problem = _describe(broker)
    identity = _identity(snapshot)
    topic = identity.numbered(topic) if topic and identity else topic
    now = datetime.now(UTC)
    metadata = snapshot.commit_metadata
    position = metadata.position if metadata else {}
    stored = newest_stored(paths, snapshot.version)
    newest = stored or delta_log.entry(paths.ticks, snapshot.version)
    committed = (now - newest.committed).total_seconds() if newest else 0.0
    arrived = max((file.last_arrival for file in snapshot.ticks if file.last_arrival), default=None)
    waiting = still_to_come(position, topic) if topic else None
    age = None if waiting is None else _age(waiting, partial(oldest, waiting, identity.base if identity else 0), now)
    return LakeStatus(
        data=str(paths.root),
        services=services(paths, broker_up=topic is not None),
        heartbeats={role: beaten(paths, role) for role in BEATING},
        broker=problem,
        rows=snapshot.rows,
        quarantined=snapshot.quarantined,
        version=snapshot.version,
        committed_seconds=committed,
        tick_seconds=max(0.0, (now - arrived).total_seconds()) if arrived else None,
        ends=topic.end if topic else None,
        position=position,
        lag=None if waiting is None else sum(span.count for span in waiting.values()),
        lag_seconds=seconds_behind(paths, stored, now) if age is None else age,
        verdict=last_verdict(paths),
        finalized_until=snapshot.finalized_until,
        derived=tuple(_derived(paths, state, snapshot.version, now) for state in states(paths)),
    )


def _identity(snapshot: Snapshot) -> Identity | None:
    try:
        return identity_of(snapshot.table)
    except CorruptStateError:
        return None  # verify reports it, and the job refuses to start


def _age(waiting: Mapping[int, OffsetRange], oldest: Callable[[], float | None], now: datetime) -> float | None:
    """Return the age of the oldest record that waits, in seconds; 0 if none waits, None if the broker does not return it."""
    try:
        at = oldest() if waiting else None
    except BrokerUnavailableError:
        return None
    return 0.0 if at is None else max(0.0, now.timestamp() - at)


def _derived(paths: LakePaths, state: DerivedState, version: int, now: datetime) -> DerivedStatus:
    lag: float | None = None
    if state.as_of is not None:
        oldest_needed = max(state.as_of + 1, version - COMMITS_LOOKED_AT)
        missing = [entry for entry in delta_log.entries(paths.ticks, version, oldest_needed) if entry.rows or entry.deletes]
        lag = (now - missing[-1].committed).total_seconds() if missing else 0.0
    return DerivedStatus(state.name, state.as_of, lag, state.pause)


def services(paths: LakePaths, *, broker_up: bool) -> dict[str, str]:
    """Return the state of each service: from the broker, from ZooKeeper's lock if the kernel lists it, and from heartbeats.

    A lake without ZooKeeper has no such service: its broker runs with KRaft, or is not the lake's own.
    """
    broker = {"kafka": UP if broker_up else DOWN, **roles(paths)}
    kind = broker_kind.of_lake(paths.folder)
    if kind is broker_kind.Kind.KRAFT or (kind is None and broker_up):
        return broker
    held = _held(paths.folder, paths.folder / "locks" / "zookeeper.lock")
    return {"zookeeper": UP if broker_up or held else UNKNOWN if held is None else DOWN, **broker}


def roles(paths: LakePaths) -> dict[str, str]:
    """Return which roles are up, from heartbeats only: these can be read from another container or machine."""
    return {role: UP if _promises(heartbeat_file(paths.folder, role)) else DOWN for role in BEATING}


def beaten(paths: LakePaths, role: str) -> float | None:
    """Return the seconds since a role renewed its heartbeat; None if it never has."""
    try:
        return max(0.0, time.time() - beneath.status_of(paths.folder, heartbeat_file(paths.folder, role)).st_mtime)
    except OSError:
        return None


def newest_stored(paths: LakePaths, version: int) -> delta_log.Entry | None:
    """Return the newest commit with ticks among the last COMMITS_LOOKED_AT; maintenance commits add none."""
    return next((entry for entry in islice(delta_log.entries(paths.ticks, version), COMMITS_LOOKED_AT) if entry.rows), None)


def seconds_behind(paths: LakePaths, stored: delta_log.Entry | None, now: datetime) -> float:
    """Return for how many seconds the tables have not changed while ticks wait, judged by files only; else 0.

    Ticks are taken to wait if the job is down, or if a producer had ticks acknowledged after the newest commit with ticks.
    """
    if stored is None:
        first = delta_log.entry(paths.ticks, 0)
        return (now - first.committed).total_seconds() if first and _acknowledged(paths) > first.committed.timestamp() else 0.0
    idle = (now - stored.committed).total_seconds()
    acknowledged = idle > QUIET_SECONDS and _acknowledged(paths) > stored.committed.timestamp() + LEDGER_SECONDS
    return idle if acknowledged or roles(paths)[JOB] == DOWN else 0.0


def _acknowledged(paths: LakePaths) -> float:
    """Return when a running producer last wrote its ledger of acknowledged ticks, in seconds since 1970; 0 if none runs."""
    try:
        files = place.listed(paths.root, paths.ledgers)
        ledgers = sorted(((state.st_mtime, name) for name, state in files.items() if not beneath.fault(state)), reverse=True)
        return next((at for at, name in ledgers[:LEDGERS_LOOKED_AT] if not _has_ended(paths, name)), 0.0)
    except OSError:
        return 0.0


def _has_ended(paths: LakePaths, ledger: str) -> bool:
    with place.opened(paths.root, paths.ledgers / ledger) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_LINE_BYTES))
        return file.read().rstrip().rpartition(b"\n")[2].startswith(b'{"ended"')


def _promises(heartbeat: Path) -> bool:
    try:
        return is_alive(heartbeat)
    except OSError:  # not readable, or not a file
        return False


def _describe(broker: Callable[[], TopicDescription]) -> tuple[TopicDescription | None, str | None]:
    try:
        return broker(), None
    except (BrokerUnavailableError, TopicNotFoundError) as error:
        return None, str(error)


def _held(root: Path, lock: Path) -> bool | None:
    """Return whether a process holds a lock; None if unknown. Trying the lock could block a role that is starting."""
    try:
        inode = beneath.status_of(root, lock).st_ino
        lines = LOCKS.read_text(encoding="ascii").splitlines()
        holder = beneath.read(root, lock).decode(errors="replace")
    except FileNotFoundError:
        return False if LOCKS.exists() else None
    except OSError:
        return None
    if any(f":{inode} " in line and " FLOCK " in f" {line} " for line in lines):
        return True
    # The kernel does not list locks of other containers' processes. The lock file contains the holder's host name.
    return False if os.uname().nodename in holder or not holder else None
