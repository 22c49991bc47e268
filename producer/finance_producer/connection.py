"""The link to the broker: wait until it is there, and tell of it in one line when lost and one when back, not in many."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from finance_producer.publisher import client_config, connection_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings

QUIET_SECONDS = 30.0
BLINK_SECONDS = 0.5
ASK_SECONDS = 0.5
REST_SECONDS = 0.2

# What the link tells itself, and the broker's way to say that it has just started.
_TOLD_ELSEWHERE = {"FAIL", "ERROR", "GETPID"}


class FatalError(Exception):
    """The client is beyond repair: only a new process, with a new source, can go on."""


class OutageLog:
    """Tells in a line that something is away, when it has been for `blink` seconds, and in another that it is back."""

    def __init__(
        self, what: str, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic, blink: float = 0
    ) -> None:
        """Begin with it there."""
        self._what = what
        self._log = log
        self._monotonic = monotonic
        self._blink = blink
        self._since: float | None = None
        self._reason = ""
        self._told = False

    def begin(self, reason: str) -> None:
        """Take note that it is away."""
        if self._since is None:
            self._since, self._reason = self._monotonic(), reason
        self.look()

    def look(self) -> None:
        """Tell of it if it is time."""
        if self._since is not None and not self._told and self._monotonic() - self._since >= self._blink:
            self._log.warning(f"{self._what} away, waiting for it", reason=self._reason)
            self._told = True

    def end(self) -> None:
        """Take note that it is there."""
        if self._since is not None and self._told:
            self._log.info(f"{self._what} back", away_seconds=round(self._monotonic() - self._since, 1))
        self._since, self._told = None, False


class Link:
    """Listens to the client's errors."""

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with a link that is up."""
        # A broker that starts lets some connections down at first.
        self._broker = OutageLog("broker", log, monotonic, BLINK_SECONDS)
        self.topic = OutageLog("topic", log, monotonic)
        self._fatal: KafkaError | None = None

    def on_error(self, error: KafkaError) -> None:
        """Take an error from the client; called while it is polled, so it must not raise."""
        if error.fatal():
            self._fatal = error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 (its public constants look like this)
            self.on_silence(error.str())

    def on_silence(self, reason: str) -> None:
        """Take note that no broker answers."""
        self._broker.begin(reason)

    def on_answer(self) -> None:
        """Take note that the broker has answered."""
        self._broker.end()

    def check(self) -> None:
        """Tell of an absence that lasts. Raise FatalError if the client has reported such an error."""
        self._broker.look()
        if self._fatal is not None:
            raise FatalError(f"the Kafka client cannot go on: {self._fatal.str()}")


class RateLimitedLogHandler(logging.Handler):
    """Passes the client's own log on: what is not told elsewhere, and at most a line in `QUIET_SECONDS`."""

    def __init__(self, log: FilteringBoundLogger, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Pass on to `log`."""
        super().__init__(logging.WARNING)
        self._log = log
        self._monotonic = monotonic
        self._spoke = -QUIET_SECONDS

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a line on, or drop it; librdkafka gives facility, client name and text as arguments."""
        facility = record.args[0] if isinstance(record.args, tuple) and record.args else ""
        if facility not in _TOLD_ELSEWHERE and self._monotonic() - self._spoke >= QUIET_SECONDS:
            self._spoke = self._monotonic()
            self._log.warning("Kafka client", says=record.getMessage())


def client_logger(log: FilteringBoundLogger) -> logging.Logger:
    """Give a logger for the client that murmurs."""
    logger = logging.Logger("librdkafka")  # noqa: LOG001 (belongs to one client, not to the tree of loggers)
    logger.addHandler(RateLimitedLogHandler(log))
    return logger


def connect(settings: Settings, link: Link, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> Producer | None:
    """Give a client of a broker that has the topic; None if asked to stop before. Raises FatalError."""
    ears: dict[str, Any] = {"error_cb": link.on_error, "logger": client_logger(log)}
    scout = AdminClient(connection_config(settings.kafka_bootstrap) | ears)
    while not stopping():
        link.check()
        partitions = _partitions(scout, settings.kafka_topic, link)
        if partitions:
            log.info("connected", bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, partitions=partitions)
            # Not before: an idempotent producer gets its identity from the first broker that it meets.
            return Producer(client_config(settings.kafka_bootstrap, settings.delivery_timeout_seconds) | ears)
        if partitions == 0:
            link.topic.begin("no such topic, which topic-init makes")
        scout.poll(REST_SECONDS)
    return None


def _partitions(client: AdminClient, topic: str, link: Link) -> int | None:
    """Count the topic's partitions; None if no broker answers. Asks for all topics: asking for one may create it."""
    try:
        topics = client.list_topics(timeout=ASK_SECONDS).topics
    except KafkaException as error:
        link.on_silence(error.args[0].str())
        return None
    link.on_answer()
    return len(topics[topic].partitions) if topic in topics else 0
