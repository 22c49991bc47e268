"""Supervise the query: start it, restart it after an outage, stop it between two batches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException, StreamingQueryException

from finance_job.spark_failure import innermost_cause
from finance_job.writer import ConflictError, FencedError
from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
from finance_kafka.range_reader import OffsetOutOfRangeError
from finance_storage.errors import StoreUnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from pyspark.sql.streaming.query import StreamingQuery
    from structlog.typing import FilteringBoundLogger

    from finance_job.sink import Sink

POLL_SECONDS = 0.2
CLOSE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0


class UnrecoverableError(Exception):
    """The query failed in a way that a restart does not fix. The message is for the operator."""


class QueryEndedError(Exception):
    """The query has ended and a new one may succeed. The message is Spark's."""


# The broker or the topic is unavailable, a Spark job failed, another writer changed a table: a retry may succeed.
# `_refuse_to_retry` sorts out the failures for which it cannot.
RETRIED = (
    BrokerUnavailableError,
    TopicNotFoundError,
    QueryEndedError,
    ConflictError,
    StoreUnavailableError,
    OffsetOutOfRangeError,
    PySparkException,
    Py4JError,
)


def supervise(
    stopping: threading.Event,
    start: Callable[[], StreamingQuery],
    sink: Sink,
    between_polls: Callable[[], None],
    log: FilteringBoundLogger,
) -> None:
    """Keep the query running until `stopping` is set, then stop it cleanly.

    `between_polls` is called repeatedly meanwhile; an exception from it stops the query. Raises UnrecoverableError,
    FencedError, and exceptions of `start` that a retry does not fix.
    """
    pause = 1.0
    while not stopping.is_set():
        started = time.monotonic()
        try:
            query = start()
            _watch(query, stopping, between_polls)
            _stop(query, sink)
        except RETRIED as error:
            failure = str(error)
        else:
            return
        _refuse_to_retry(failure, sink.error)
        sink.restart()
        pause = 1.0 if time.monotonic() - started > SETTLED_SECONDS else min(2 * pause, MAX_PAUSE_SECONDS)
        log.warning("streaming query failed, restarting", reason=innermost_cause(failure), in_seconds=pause)
        stopping.wait(pause)


def _refuse_to_retry(failure: str, error: Exception | None) -> None:
    if isinstance(error, FencedError):
        raise error
    if isinstance(error, OffsetOutOfRangeError):
        raise UnrecoverableError(innermost_cause(failure))


def _watch(query: StreamingQuery, stopping: threading.Event, between_polls: Callable[[], None]) -> None:
    """Return once `stopping` is set. Raises QueryEndedError if the query has ended, and what `between_polls` raises."""
    while query.isActive:
        if stopping.wait(POLL_SECONDS):
            return
        try:
            between_polls()
        except Exception:
            query.stop()
            raise
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        raise QueryEndedError(str(error)) from None
    raise QueryEndedError("the query ended by itself")


def _stop(query: StreamingQuery, sink: Sink) -> None:
    """Stop between two batches: no new batch begins, and Spark finishes the last one before the query is stopped."""
    sink.stop_accepting()
    deadline = time.monotonic() + CLOSE_SECONDS
    while query.isActive and query.status["isTriggerActive"] and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    query.stop()
