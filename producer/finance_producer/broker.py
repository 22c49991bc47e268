"""Reaching the broker: wait until it answers and has the topic, however long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from finance_producer.link import client_logger
from finance_producer.publisher import client_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings
    from finance_producer.link import Link

ASK_SECONDS = 0.5
REST_SECONDS = 0.2


def connect(settings: Settings, link: Link, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> Producer | None:
    """Give a client of a broker that has the topic; None if asked to stop before. Raises FatalError."""
    config = client_config(settings.kafka_bootstrap, settings.delivery_timeout_seconds)
    client = Producer(config | {"error_cb": link.on_error, "logger": client_logger(log)})
    told = False
    while not stopping():
        link.check()
        partitions = _partitions(client, settings.kafka_topic, link)
        if partitions:
            log.info("connected", bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, partitions=partitions)
            return client
        if partitions == 0 and not told:
            log.warning("no such topic, waiting for topic-init to make it", topic=settings.kafka_topic)
            told = True
        client.poll(REST_SECONDS)
    return None


def _partitions(client: Producer, topic: str, link: Link) -> int | None:
    """Count the topic's partitions; None if no broker answers. Asks for all topics: asking for one may create it."""
    try:
        topics = client.list_topics(timeout=ASK_SECONDS).topics
    except KafkaException as error:
        link.on_silence(error.args[0].str())
        return None
    link.on_answer()
    return len(topics[topic].partitions) if topic in topics else 0
