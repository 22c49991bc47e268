"""Assembles a run from the settings, and carries it out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from finance_producer.broker import connect
from finance_producer.ledger import Ledger, ledger_file
from finance_producer.link import Link
from finance_producer.publisher import Publisher
from finance_producer.run import Run
from finance_producer.source import open_feed, open_pace, source_name
from finance_producer.spoiler import Spoiler
from finance_producer.watch import Watch, patience_seconds
from finance_role.heartbeat import Heartbeat, heartbeat_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings


def produce(settings: Settings, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> int:
    """Carry out a run, and give the number of records that stay unsent. Raises UnreadableError, FatalError and OSError."""
    source, link = source_name(settings), Link(log)
    feed = open_feed(settings, source, log)
    heartbeat = Heartbeat(heartbeat_file(settings.data_dir, "producer"), patience_seconds(settings.ticks_per_second))
    client = connect(settings, link, log, stopping)
    if client is None:
        log.info("stopped before a broker answered")
        return 0
    publisher = Publisher(client, settings.kafka_topic)
    header = {"source": source, "topic": settings.kafka_topic, "settings": settings.model_dump(mode="json")}
    run = Run(
        feed=feed,
        pace=open_pace(settings, feed, time.monotonic()),
        spoiler=Spoiler(settings.malformed_rate, settings.seed),
        publisher=publisher,
        ledger=Ledger(ledger_file(settings.data_dir, source), header),
        link=link,
        watch=Watch(publisher, link, heartbeat, log),
        stopping=stopping,
    )
    try:
        run.until_end(settings.max_ticks)
    finally:
        log.info("stopping", asked_to=stopping(), waiting=publisher.waiting)
        unsent = run.finish(settings.flush_seconds)
        log.info("stopped", **publisher.deliveries.figures())
    return unsent
