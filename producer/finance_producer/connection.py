"""The connection to the broker: wait for it, and log each outage in one line at its start and one at its end."""

from __future__ import annotations

import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from finance_producer.publisher import client_config, connection_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings

QUIET_SECONDS = 30.0
BLINK_SECONDS = 0.5
ASK_SECONDS = 0.5
REST_SECONDS = 0.2

# Facilities of librdkafka's log to drop: `Link` reports FAIL and ERROR itself, and a starting broker causes GETPID.
_SUPPRESSED = {"FAIL", "ERROR", "GETPID"}


class FatalError(Exception):
    """The client has failed for good: only a new process, with a new source, can go on."""


class OutageLog:
    """Logs an outage in one line once it has lasted `blink` seconds, and its end in another."""

    def __init__(
        self, what: str, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic, blink: float = 0
    ) -> None:
        """Begin without an outage; `what` names the thing whose outages are logged."""
        self._what = what
        self._log = log
        self._monotonic = monotonic
        self._blink = blink
        self._since: float | None = None
        self._reason = ""
        self._logged = False

    def begin(self, reason: str) -> None:
        """Record that an outage has begun, unless one is under way."""
        if self._since is None:
            self._since, self._reason = self._monotonic(), reason
        self.log_if_due()

    def log_if_due(self) -> None:
        """Log the outage, once, if it has lasted long enough."""
        if self._since is not None and not self._logged and self._monotonic() - self._since >= self._blink:
            self._log.warning(f"{self._what} unavailable, waiting for it", reason=self._reason)
            self._logged = True

    def end(self) -> None:
        """Record that the outage is over, if there was one; log it if its beginning was logged."""
        if self._since is not None and self._logged:
            self._log.info(f"{self._what} back", away_seconds=round(self._monotonic() - self._since, 1))
        self._since, self._logged = None, False


class Link:
    """Tracks the state of the connection from the client's errors and answers."""

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin connected."""
        # A starting broker drops some of its first connections.
        self._broker = OutageLog("broker", log, monotonic, BLINK_SECONDS)
        self.topic = OutageLog("topic", log, monotonic)
        self._fatal: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Handle an error from the client. The client calls this while it is polled, so it must not raise."""
        if error.fatal():
            self._fatal = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 (its public constants look like this)
            self.on_unreachable(error.str())

    def on_unreachable(self, reason: str) -> None:
        """Record that no broker responds."""
        self._broker.begin(reason)

    def on_answer(self) -> None:
        """Record that the broker has responded."""
        self._broker.end()

    def check(self) -> None:
        """Log an outage that lasts. Raises FatalError if the client has reported a fatal error."""
        self._broker.log_if_due()
        if self._fatal is not None:
            raise FatalError(f"the Kafka client cannot go on: {self._fatal.str()}")


class RateLimitedLogHandler(logging.Handler):
    """Forwards the client's own log: lines that nothing else reports, at most one in `QUIET_SECONDS`."""

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Forward to `log`."""
        super().__init__(logging.WARNING)
        self._log = log
        self._monotonic = monotonic
        self._emitted_at = -QUIET_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a line or drop it; librdkafka passes facility, client name and text as arguments."""
        facility = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        if facility not in _SUPPRESSED and self._monotonic() - self._emitted_at >= QUIET_SECONDS:
            self._emitted_at = self._monotonic()
            self._log.warning("Kafka client", says=record.getMessage())


def client_logger(log: FilteringBoundLogger) -> logging.Logger:
    """Return a rate-limited logger for the client."""
    logger = logging.Logger("librdkafka")  # noqa: LOG001 (belongs to one client, not to the tree of loggers)
    logger.addHandler(RateLimitedLogHandler(log))
    return logger


def connect(
    settings: Settings,
    link: Link,
    log: FilteringBoundLogger,
    stopping: Callable[[], bool],
    special: Mapping[str, Any] = MappingProxyType({}),
) -> Producer | None:
    """Wait for a broker that has the topic and return a client of it; None if `stopping` comes first.

    `special` are librdkafka's settings beside the usual ones. Raises FatalError.
    """
    callbacks: dict[str, Any] = {"error_cb": link.on_error, "logger": client_logger(log)}
    admin = AdminClient(connection_config(settings.kafka_bootstrap) | callbacks)
    while not stopping():
        link.check()
        partitions = _partitions(admin, settings.kafka_topic, link)
        if partitions:
            log.info("connected", bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, partitions=partitions)
            # Not before: an idempotent producer gets its producer id from the first broker that it reaches.
            usual = client_config(settings.kafka_bootstrap, settings.delivery_timeout_seconds)
            return Producer({**usual, **special, **callbacks})
        if partitions == 0:
            link.topic.begin("no such topic; topic-init creates it")
        admin.poll(REST_SECONDS)
    return None


def _partitions(client: AdminClient, topic: str, link: Link) -> int | None:
    """Return the topic's number of partitions, None if no broker responds. Lists all topics: asking for one may create it."""
    try:
        topics = client.list_topics(timeout=ASK_SECONDS).topics
    except KafkaException as error:
        link.on_unreachable(error.args[0].str())
        return None
    link.on_answer()
    return len(topics[topic].partitions) if topic in topics else 0
