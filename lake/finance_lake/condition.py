"""The lake's condition at a glance: what runs, how far the tables are behind the topic, and when it was last proven."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from finance_lake.proof.last import Verdict, last
from finance_lake.reading import log
from finance_lake.reading.snapshot import take
from finance_lake.state.broker import NoTopicError, SilentError, ask
from finance_lake.state.table import newest_record
from finance_role.heartbeat import heartbeat_file, is_alive

if TYPE_CHECKING:
    from collections.abc import Callable

    from finance_lake.state.accounting import Broker
    from finance_lake.state.layout import Layout
    from finance_lake.state.record import Offsets

UP, DOWN, UNKNOWN = "up", "down", "unknown"
PATIENCE_SECONDS = 0.7
LOCKS = Path("/proc/locks")


def ask_soon(bootstrap: str, topic: str) -> Broker:
    """Ask the broker with little patience: where nobody listens, the client would still try until its time is over."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE_SECONDS).close()
    except (OSError, ValueError):
        raise SilentError(f"no broker answers at {bootstrap}") from None
    return ask(bootstrap, topic, PATIENCE_SECONDS)


class Condition(msgspec.Struct, frozen=True):
    """One look.

    Attributes:
        data: the lake's folder
        services: up, down or unknown, by name
        broker: None if it answered; else why there is no lag
        rows, quarantined: live rows of the tables
        version, committed_seconds: of the table of ticks, and how long ago that was committed
        tick_seconds: how long ago the newest tick reached the topic; None without one
        ends, position: of the topic, and of the tables, by partition
        lag: records of the topic that are not in the tables yet
        lag_seconds: for how long the tables have not moved while records wait; 0 if none waits
        verdict: what verify said last

    """

    data: str
    services: dict[str, str]
    broker: str | None
    rows: int
    quarantined: int
    version: int
    committed_seconds: float
    tick_seconds: float | None
    ends: Offsets | None
    position: Offsets
    lag: int | None
    lag_seconds: float | None
    verdict: Verdict | None


def look(layout: Layout, broker: Callable[[], Broker]) -> Condition:
    """Look at the lake. `broker` may raise SilentError or NoTopicError. Raises NoLakeError, UnreadableError."""
    snapshot = take(layout)
    told, silence = _answer(broker)
    now = datetime.now(UTC)
    record = newest_record(snapshot.table)
    position = record.position if record else {}
    entry = log.entry(layout.ticks, snapshot.version)
    committed = (now - entry.committed).total_seconds() if entry else 0.0
    arrived = max((file.last_arrival for file in snapshot.ticks if file.last_arrival), default=None)
    lag = sum(max(0, end - position.get(number, 0)) for number, end in told.end.items()) if told else None
    return Condition(
        data=str(layout.root),
        services=services(layout, broker_up=told is not None),
        broker=silence,
        rows=snapshot.rows,
        quarantined=snapshot.quarantined,
        version=snapshot.version,
        committed_seconds=committed,
        tick_seconds=(now - arrived).total_seconds() if arrived else None,
        ends=told.end if told else None,
        position=position,
        lag=lag,
        lag_seconds=None if lag is None else committed if lag else 0.0,
        verdict=last(layout),
    )


def services(layout: Layout, *, broker_up: bool) -> dict[str, str]:
    """Tell which services run: by the locks that they hold, where the kernel tells, and by their heartbeats."""
    held = _held(layout.root / "locks" / "zookeeper.lock")
    beating = {role: UP if is_alive(heartbeat_file(layout.root, role)) else DOWN for role in ("producer", "spark-job")}
    return {
        "zookeeper": UP if broker_up or held else UNKNOWN if held is None else DOWN,
        "kafka": UP if broker_up else DOWN,
        **beating,
    }


def _answer(broker: Callable[[], Broker]) -> tuple[Broker | None, str | None]:
    try:
        return broker(), None
    except (SilentError, NoTopicError) as error:
        return None, str(error)


def _held(lock: Path) -> bool | None:
    """Whether somebody holds a lock; None where the kernel does not tell. To try it could keep a starting role from it."""
    try:
        inode = os.stat(lock).st_ino  # noqa: PTH116
        lines = LOCKS.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return False if LOCKS.exists() else None
    except OSError:
        return None
    return any(f":{inode} " in line and " FLOCK " in f" {line} " for line in lines)
