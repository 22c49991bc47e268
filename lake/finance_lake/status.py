"""The lake's condition at a glance: what runs, how far the tables are behind the topic, and when it was last proven.

Every figure is as old as this moment: a role is up while the promise in its heartbeat holds, and the tables fall behind with
each second in which they do not move though they should.
"""

from __future__ import annotations

import os
import socket
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_lake.query.snapshot import take
from finance_role import beneath
from finance_role.heartbeat import heartbeat_file, is_alive
from finance_storage import delta_log
from finance_storage.accounting import still_to_come
from finance_verify.verdict import Verdict, last_verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import Offsets
    from finance_storage.paths import LakePaths

UP, DOWN, UNKNOWN = "up", "down", "unknown"
PATIENCE_SECONDS = 0.7
LOCKS = Path("/proc/locks")
JOB = "spark-job"
BEATING = ("producer", JOB)
COMMITS_LOOKED_AT = 100
# So long a job may be busy with one batch before acknowledged ticks count as waiting.
QUIET_SECONDS = 5.0
# A ledger is written about once a second, so its time may be later than the commit of what it tells of.
LEDGER_SECONDS = 2.0
LEDGERS_LOOKED_AT = 10
LAST_LINE_BYTES = 4096


def ask_soon(bootstrap: str, topic: str) -> TopicDescription:
    """Ask the broker with little patience: where nobody listens, the client would still try until its time is over."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE_SECONDS).close()
    except (OSError, ValueError):
        raise BrokerUnavailableError(f"no broker answers at {bootstrap}") from None
    return describe_topic(bootstrap, topic, PATIENCE_SECONDS)


class LakeStatus(msgspec.Struct, frozen=True):
    """One look.

    Attributes:
        data: the lake's folder
        services: up, down or unknown, by name
        broker: None if it answered; else why there is no lag
        rows, quarantined: live rows of the tables
        version, committed_seconds: of the table of ticks, and how long ago that was committed
        heartbeats: how long ago each role has renewed its heartbeat, by name; None if it never has
        tick_seconds: how long ago the newest tick reached the topic; None without one
        ends, position: of the topic, and of the tables, by partition
        lag: records of the topic that are not in the tables yet
        lag_seconds: for how long the tables have not moved while records wait; 0 if none waits. Where no broker answers: as far
            as heartbeats and ledgers tell
        verdict: what verify said last

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


def look(paths: LakePaths, broker: Callable[[], TopicDescription]) -> LakeStatus:
    """Look at the lake; `broker` may raise BrokerUnavailableError, TopicNotFoundError. Raises NoLakeError, UnreadableError."""
    snapshot = take(paths)
    told, silence = _answer(broker)
    now = datetime.now(UTC)
    record = snapshot.record
    position = record.position if record else {}
    stored = newest_stored(paths, snapshot.version)
    newest = stored or delta_log.entry(paths.ticks, snapshot.version)
    committed = (now - newest.committed).total_seconds() if newest else 0.0
    arrived = max((file.last_arrival for file in snapshot.ticks if file.last_arrival), default=None)
    lag = sum(span.count for span in still_to_come(position, told).values()) if told else None
    return LakeStatus(
        data=str(paths.root),
        services=services(paths, broker_up=told is not None),
        heartbeats={role: beaten(paths, role) for role in BEATING},
        broker=silence,
        rows=snapshot.rows,
        quarantined=snapshot.quarantined,
        version=snapshot.version,
        committed_seconds=committed,
        tick_seconds=max(0.0, (now - arrived).total_seconds()) if arrived else None,
        ends=told.end if told else None,
        position=position,
        lag=lag,
        lag_seconds=seconds_behind(paths, stored, now) if lag is None else committed if lag else 0.0,
        verdict=last_verdict(paths),
    )


def services(paths: LakePaths, *, broker_up: bool) -> dict[str, str]:
    """Tell which services run: by the locks that they hold, where the kernel tells, and by their heartbeats."""
    held = _held(paths.root, paths.root / "locks" / "zookeeper.lock")
    return {
        "zookeeper": UP if broker_up or held else UNKNOWN if held is None else DOWN,
        "kafka": UP if broker_up else DOWN,
        **roles(paths),
    }


def roles(paths: LakePaths) -> dict[str, str]:
    """Tell which roles run, by their heartbeats alone: they can be read from another container, or another machine."""
    return {role: UP if _promises(heartbeat_file(paths.root, role)) else DOWN for role in BEATING}


def beaten(paths: LakePaths, role: str) -> float | None:
    """Give how many seconds ago a role has renewed its heartbeat; None if it never has."""
    try:
        return max(0.0, time.time() - beneath.look(paths.root, heartbeat_file(paths.root, role)).st_mtime)
    except OSError:
        return None


def newest_stored(paths: LakePaths, version: int) -> delta_log.Entry | None:
    """Return the newest commit with ticks, among the newest; maintenance adds none."""
    return next((one for one in islice(delta_log.entries(paths.ticks, version), COMMITS_LOOKED_AT) if one.rows), None)


def seconds_behind(paths: LakePaths, stored: delta_log.Entry | None, now: datetime) -> float:
    """Give for how long the tables have not moved though they should, as far as files tell; 0 if nothing is known to wait.

    Ticks wait where the job is down, or a producer has had some acknowledged since the newest commit with ticks.
    """
    if stored is None:
        first = delta_log.entry(paths.ticks, 0)
        return (now - first.committed).total_seconds() if first and _acknowledged(paths) > first.committed.timestamp() else 0.0
    still = (now - stored.committed).total_seconds()
    acknowledged = still > QUIET_SECONDS and _acknowledged(paths) > stored.committed.timestamp() + LEDGER_SECONDS
    return still if acknowledged or roles(paths)[JOB] == DOWN else 0.0


def _acknowledged(paths: LakePaths) -> float:
    """Give when a producer that has not ended wrote last of ticks that the broker acknowledged."""
    try:
        found = beneath.listed(paths.root, paths.ledgers)
        ledgers = sorted(((state.st_mtime, name) for name, state in found.items() if not beneath.fault(state)), reverse=True)
        return next((at for at, name in ledgers[:LEDGERS_LOOKED_AT] if not _has_ended(paths, name)), 0.0)
    except OSError:
        return 0.0


def _has_ended(paths: LakePaths, ledger: str) -> bool:
    with beneath.opened(paths.root, paths.ledgers / ledger) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_LINE_BYTES))
        return file.read().rstrip().rpartition(b"\n")[2].startswith(b'{"ended"')


def _promises(heartbeat: Path) -> bool:
    try:
        return is_alive(heartbeat)
    except OSError:  # a file that may not be read, or is none
        return False


def _answer(broker: Callable[[], TopicDescription]) -> tuple[TopicDescription | None, str | None]:
    try:
        return broker(), None
    except (BrokerUnavailableError, TopicNotFoundError) as error:
        return None, str(error)


def _held(root: Path, lock: Path) -> bool | None:
    """Whether somebody holds a lock; None where the kernel does not tell. To try it could keep a starting role from it."""
    try:
        inode = beneath.look(root, lock).st_ino
        lines = LOCKS.read_text(encoding="ascii").splitlines()
        holder = beneath.read(root, lock).decode(errors="replace")
    except FileNotFoundError:
        return False if LOCKS.exists() else None
    except OSError:
        return None
    if any(f":{inode} " in line and " FLOCK " in f" {line} " for line in lines):
        return True
    # The kernel lists no lock that a process of another container holds; whoever takes one leaves its machine's name there.
    return False if os.uname().nodename in holder or not holder else None
