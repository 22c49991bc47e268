"""The start-up guard: create a lake, continue one whose parts belong together, or refuse to start.

It runs before the JVM starts and reads only logs and small files, so a refusal is quick and changes nothing.
finance_storage.accounting describes what is compared and why. The same checks run at each restart of the query, and every ten
seconds while the query runs the guard checks that broker and topic are still the same.
"""

from __future__ import annotations

import os
import threading
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError
from pyarrow import ArrowException

from finance_job.schema_guard import differences
from finance_job.tables import create_tables
from finance_kafka.describe import BrokerUnavailableError, TopicDescription, TopicNotFoundError, describe_topic
from finance_role import beneath
from finance_storage import accounting
from finance_storage.delta_table import live_rows, newest_metadata, open_table
from finance_storage.errors import StoreUnavailableError
from finance_storage.lake_identity import CorruptStateError, Identity, identity_of, read_identity
from finance_storage.log_damage import damaged_log
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.quarantine_ahead import offsets_within

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_kafka.offsets import Offsets

RETRY_SECONDS = 1.0
WATCH_SECONDS = 10.0


class StartupRefusedError(Exception):
    """The job must not run on this state. The message says what does not match, what would happen, and how to fix it."""


def examine(paths: LakePaths, broker: TopicDescription) -> accounting.State:
    """Read everything that a start depends on. `damaged` names what cannot be read."""
    if damaged := (*damaged_log(paths.ticks), *damaged_log(paths.quarantine)):
        return accounting.State(None, None, None, broker, damaged)
    try:
        return _state(paths, broker)
    except CorruptStateError as error:
        damage = str(error)
    except StoreUnavailableError:
        raise
    except (DeltaError, ArrowException, OSError, ValueError, KeyError) as error:
        damage = f"the lake at {paths.root} cannot be read ({error})".replace("\n", " ")
    return accounting.State(None, None, None, broker, (damage,))


def _state(paths: LakePaths, broker: TopicDescription) -> accounting.State:
    identity = read_identity(paths)
    ticks = _table(paths, TICKS, identity, {})
    position = ticks.metadata.position if ticks and ticks.metadata else {}
    quarantine = _table(paths, QUARANTINE, identity, position)
    return accounting.State(identity, ticks, quarantine, identity.numbered(broker) if identity else broker)


def _table(paths: LakePaths, name: str, identity: Identity | None, ticks: Offsets) -> accounting.Table | None:
    table = open_table(paths.table(name))
    if table is None:
        return None
    record, rows_ahead = newest_metadata(table, paths.table(name)), 0
    if name == QUARANTINE and record and identity:
        ranges = accounting.ahead(ticks, record.position, identity)
        rows_ahead = sum(map(len, offsets_within(table, paths.table(name), ranges).values()))
    return accounting.Table(live_rows(table), record, identity_of(table), rows_ahead, differences(name, table).faults)


def open_lake(paths: LakePaths, topic: str, broker: TopicDescription) -> Identity:
    """Return the lake's identity; create the lake if there is none. Raises StartupRefusedError."""
    identity = check_lake(paths, topic, broker) or Identity(
        lake=str(uuid.uuid4()),
        cluster=broker.cluster,
        topic=topic,
        topic_id=broker.topic_id,
        first=broker.first,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    create_tables(paths, identity)
    return identity


def check_lake(paths: LakePaths, topic: str, broker: TopicDescription) -> Identity | None:
    """Return the identity of the lake if the job may write to it, None if there is no lake. Raises StartupRefusedError."""
    state = examine(paths, broker)
    other = accounting.other_topic(state.identity, topic) if state.identity else ()
    for inconsistency in (*other, *accounting.find_inconsistencies(state)):
        raise StartupRefusedError(str(inconsistency))
    return state.identity


def put_old_state_aside(paths: LakePaths) -> list[Path]:
    """Move aside the state files of lakes from before version 0.2, now kept in the tables. Return the new paths."""
    moved: list[Path] = []
    if not isinstance(paths.root, Path):  # no earlier version wrote to a bucket
        return moved
    for old in (paths.root / paths.before_tables.name, paths.root / "checkpoints", paths.root / "redrive.json"):
        if os.path.lexists(old):
            target = paths.root / paths.aside.name / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}" / old.name
            beneath.move(paths.root, old, target)
            moved.append(target)
    return moved


def wait_for_topic(bootstrap: str, topic: str, stopping: threading.Event, log: FilteringBoundLogger) -> TopicDescription | None:
    """Wait until the broker describes the topic and return the description; None if `stopping` is set first."""
    logged = ""
    while not stopping.is_set():
        try:
            return describe_topic(bootstrap, topic)
        except (BrokerUnavailableError, TopicNotFoundError) as error:
            if type(error).__name__ != logged:
                log.warning("waiting", reason=str(error))
                logged = type(error).__name__
            stopping.wait(RETRY_SECONDS)
    return None


class TopicWatch:
    """Checks cluster and topic while the job runs: a topic may be deleted and created again meanwhile."""

    def __init__(self, bootstrap: str, identity: Identity, also: Callable[[], None] = lambda: None) -> None:
        """Start watching, and call `also` at each check; `close` stops it."""
        self.fault: str | None = None
        self._bootstrap = bootstrap
        self._identity = identity
        self._also = also
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="identity-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while self.fault is None and not self._closed.wait(WATCH_SECONDS):
            try:
                broker = describe_topic(self._bootstrap, self._identity.topic)
            except (BrokerUnavailableError, TopicNotFoundError):
                continue  # the query fails and retries by itself until there is something to compare
            for mismatch in accounting.topic_mismatches(self._identity, broker):
                self.fault = str(mismatch)
            self._also()
