"""Assembles a run from the settings, and carries it out."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from finance_producer.feed import Simulated
from finance_producer.ledger import Ledger, ledger_file, new_source
from finance_producer.link import Link, connect
from finance_producer.pace import Flat, Pace, Recorded, Steady
from finance_producer.publisher import Publisher
from finance_producer.recall import Recall
from finance_producer.replay import Replay
from finance_producer.rows import rows
from finance_producer.run import Run
from finance_producer.spoiler import Spoiler
from finance_producer.tail import arrived
from finance_producer.watch import Watch, patience_seconds
from finance_role.heartbeat import Heartbeat, heartbeat_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings

NAMED_REJECTS = 100


def produce(settings: Settings, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> int:
    """Carry out a run, and give the number of records that stay unsent. Raises UnreadableError, FatalError and OSError."""
    source, link, rejects = source_name(settings), Link(log), Rejects(log)
    feed = open_feed(settings, source, rejects)
    heartbeat = Heartbeat(heartbeat_file(settings.data_dir, "producer"), patience_seconds(settings.ticks_per_second))
    client = connect(settings, link, log, stopping)
    if client is None:
        log.info("stopped before a broker answered")
        return 0
    link.topic.end()
    publisher = Publisher(client, settings.kafka_topic)
    ledger = ledger_file(settings.data_dir, source)
    log.info("producing", source=source, ledger=str(ledger))
    header = {"source": source, "topic": settings.kafka_topic, "settings": settings.model_dump(mode="json")}
    run = Run(
        feed=feed,
        pace=open_pace(settings, feed, time.monotonic()),
        spoiler=Spoiler(settings.malformed_rate, settings.seed),
        publisher=publisher,
        ledger=Ledger(ledger, header),
        link=link,
        recall=Recall(
            connect=partial(connect, settings, link, log),
            arrived=partial(arrived, settings.kafka_bootstrap, settings.kafka_topic, source),
            link=link,
            patience_seconds=settings.delivery_timeout_seconds,
            stopping=stopping,
        ),
        watch=Watch(publisher, link, heartbeat, log),
        stopping=stopping,
    )
    try:
        run.until_end(settings.max_ticks)
    finally:
        log.info("stopping", asked_to=stopping(), waiting=publisher.waiting)
        unsent = run.finish(settings.flush_seconds)
        log.info("stopped", **publisher.deliveries.figures(), **rejects.figures())
    return unsent


def source_name(settings: Settings) -> str:
    """Name this run; no other run has the name."""
    return new_source(f"sim-{settings.seed}" if settings.tick_source == "simulate" else "replay")


def open_feed(settings: Settings, source: str, rejects: Rejects) -> Simulated | Replay:
    """Give the feed. Raises UnreadableError for a file that cannot be replayed."""
    if settings.tick_source == "simulate" or settings.replay_file is None:
        return Simulated(settings.symbols, settings.seed, source, time.time_ns)
    return Replay(rows(settings.replay_file), source, rejects.name)


def open_pace(settings: Settings, feed: Simulated | Replay, now: float) -> Pace:
    """Give the pace of a feed, from a monotonic clock's reading on.

    TICK_SOURCE=replay with a REPLAY_SPEED above 0 keeps the time of the file's `ts_event`, that many times as fast (1: as
    recorded, 86400: a day a second); whatever else, TICKS_PER_SECOND rules, 0 being as fast as it can.
    """
    if isinstance(feed, Replay) and settings.replay_speed:
        return Recorded(feed, settings.replay_speed, now)
    return Steady(settings.ticks_per_second, now) if settings.ticks_per_second else Flat()


class Rejects:
    """Counts bad rows and names the first `NAMED_REJECTS` of them: a wrong file must not fill a disk with its lines."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Name them in `log`."""
        self._log = log
        self.count = 0

    def name(self, line: int, reason: str) -> None:
        """Name one."""
        self.count += 1
        if self.count <= NAMED_REJECTS:
            self._log.warning("row left out", line=line, reason=reason)
        if self.count == NAMED_REJECTS:
            self._log.warning("further rows that are left out are only counted")

    def figures(self) -> dict[str, int]:
        """Give their number, if there are any."""
        return {"rows_left_out": self.count} if self.count else {}
