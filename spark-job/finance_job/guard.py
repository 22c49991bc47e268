"""The start-up guard: the job begins a lake, or goes on with one whose parts belong together, or refuses.

It runs before any JVM starts and reads logs and small files only, so that a refusal is quick and changes nothing. What is
compared, and why, is in finance_lake.state.accounting. The same is asked again whenever the query starts anew, and who broker
and topic are every ten seconds while it runs.
"""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError

from finance_contract import CONTRACT_VERSION
from finance_lake.state import accounting
from finance_lake.state.broker import NoTopicError, SilentError, ask
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.damage import damaged_checkpoint, damaged_log
from finance_lake.state.identity import DamagedError, Identity, read_identity, write_identity
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.record import OffsetRange
from finance_lake.state.table import live_rows, newest_record, open_table

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

REST_SECONDS = 1.0
WATCH_SECONDS = 10.0


class RefusedError(Exception):
    """The job must not run on this state; the message says what disagrees, what would come of it, and how to mend it."""


def examine(layout: Layout, broker: accounting.Broker) -> accounting.State:
    """Read all that a start depends on. What cannot be read is in `damaged`."""
    checkpoint = Checkpoint(layout.checkpoint)
    damaged = [*damaged_checkpoint(checkpoint), *damaged_log(layout.ticks), *damaged_log(layout.quarantine)]
    identity = None
    try:
        identity = read_identity(layout.identity)
    except DamagedError as error:
        damaged.append(str(error))
    if damaged:
        return accounting.State(CONTRACT_VERSION, identity, None, None, None, broker, tuple(damaged))
    try:
        query = _query(checkpoint)
        tables = {name: _table(layout, name, query.id if query else "") for name in (TICKS, QUARANTINE)}
    except (DeltaError, OSError, ValueError, KeyError) as error:
        damaged.append(f"the lake at {layout.root} cannot be read ({error})".replace("\n", " "))
        return accounting.State(CONTRACT_VERSION, identity, None, None, None, broker, tuple(damaged))
    return accounting.State(CONTRACT_VERSION, identity, query, tables[TICKS], tables[QUARANTINE], broker)


def _query(checkpoint: Checkpoint) -> accounting.Query | None:
    if not (checkpoint.folder / "metadata").exists():
        return None
    planned = checkpoint.newest_planned()
    if planned is None:
        span = {partition: OffsetRange(offset, offset) for partition, offset in checkpoint.initial_offsets().items()}
    else:
        span = checkpoint.planned(planned).offsets
    return accounting.Query(checkpoint.query_id(), planned, checkpoint.newest_done(), span)


def _table(layout: Layout, name: str, query: str) -> accounting.Table | None:
    table = open_table(layout.table(name))
    if table is None:
        return None
    return accounting.Table(live_rows(table), newest_record(table), table.transaction_version(f"{query}:{name}"))


def open_lake(layout: Layout, topic: str, broker: accounting.Broker) -> Identity:
    """Return the lake's identity, giving it one if it is unborn. Raises RefusedError."""
    state = examine(layout, broker)
    if found := accounting.disagreements(state):
        raise RefusedError(str(found[0]))
    if not state.is_unborn:
        assert state.identity is not None  # noqa: S101 (disagreements has seen to it)
        return state.identity
    identity = state.identity or Identity(
        cluster=broker.cluster,
        topic=topic,
        topic_id=broker.topic_id,
        query=str(uuid.uuid4()),
        first=broker.first,
        born=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    # In this order: killed between the two, the lake is unborn still, and the next start ends up with the same identity.
    write_identity(layout.identity, identity)
    Checkpoint(layout.checkpoint).begin(identity.query, topic, identity.first)
    return identity


def wait_for_topic(
    bootstrap: str, topic: str, stopping: threading.Event, log: FilteringBoundLogger
) -> accounting.Broker | None:
    """Return what the broker says of the topic, as soon as it does; None if told to stop before."""
    told = ""
    while not stopping.is_set():
        try:
            return ask(bootstrap, topic)
        except (SilentError, NoTopicError) as error:
            if type(error).__name__ != told:
                log.warning("waiting", reason=str(error))
                told = type(error).__name__
            stopping.wait(REST_SECONDS)
    return None


class Watch:
    """Looks at cluster and topic again while the job runs: a topic may be deleted and made again under it."""

    def __init__(self, bootstrap: str, identity: Identity) -> None:
        """Begin to watch; `close` ends it."""
        self.fault: str | None = None
        self._bootstrap = bootstrap
        self._identity = identity
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
                broker = ask(self._bootstrap, self._identity.topic)
            except (SilentError, NoTopicError):
                continue  # the query finds out for itself, and tries again until there is something to compare
            for found in accounting.identities(self._identity, broker):
                self.fault = str(found)
