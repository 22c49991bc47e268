"""Assembles a run from the settings, and carries it out."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from finance_producer.columns import UnreadableFileError, Wanted, shown
from finance_producer.connection import Link, connect
from finance_producer.feed import Simulated
from finance_producer.malformed_injector import MalformedInjector
from finance_producer.pace import EventTimeReplay, FixedRate, Pace, Unthrottled
from finance_producer.publisher import Publisher
from finance_producer.redelivery import Recall
from finance_producer.replay import Replay
from finance_producer.rows import open_rows
from finance_producer.run import Run
from finance_producer.tail import arrived
from finance_producer.watch import ProgressWatch, patience_seconds
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.ledger import LedgerWriter, ledger_file, new_source

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings

NAMED_REJECTS = 100


def produce(settings: Settings, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> int:
    """Carry out a run, and give the number of records that stay unsent. Raises UnreadableFileError, FatalError and OSError."""
    source, link, rejects = source_name(settings), Link(log), Rejects(log)
    feed = open_feed(settings, source, rejects, log)
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
        spoiler=MalformedInjector(settings.malformed_rate, settings.seed),
        publisher=publisher,
        ledger=LedgerWriter(ledger, header),
        link=link,
        recall=Recall(
            connect=partial(connect, settings, link, log),
            arrived=partial(arrived, settings.kafka_bootstrap, settings.kafka_topic, source),
            link=link,
            patience_seconds=settings.delivery_timeout_seconds,
            stopping=stopping,
        ),
        watch=ProgressWatch(publisher, link, heartbeat, log),
        stopping=stopping,
    )
    try:
        run.until_end(settings.max_ticks)
    finally:
        log.info("stopping", asked_to=stopping(), waiting=publisher.waiting)
        unsent = run.finish(settings.flush_seconds)
        log.info("stopped", **publisher.deliveries.figures(), **rejects.figures())
        if isinstance(feed, Replay):
            rejects.sum_up()
            say_what_is_missing(feed, publisher.deliveries.acknowledged, log)
    if isinstance(feed, Replay) and feed.ended and not publisher.deliveries.made:
        raise UnreadableFileError(f"{settings.replay_file} has no row that can be a tick: nothing was published.")
    return unsent


def say_what_is_missing(feed: Replay, published: int, log: FilteringBoundLogger) -> None:
    """Say last what a person may take for granted and is not so."""
    if feed.undated:
        log.warning("ticks without a ts_event: the lake dates them by when they arrived", ticks=feed.undated)
    if not feed.ended:
        log.warning("stopped before the end of the file: the rest is not published", ticks=published)


def source_name(settings: Settings) -> str:
    """Name this run; no other run has the name."""
    return new_source(f"sim-{settings.seed}" if settings.tick_source == "simulate" else "replay")


def open_feed(settings: Settings, source: str, rejects: Rejects, log: FilteringBoundLogger) -> Simulated | Replay:
    """Give the feed. Raises UnreadableFileError for a file that cannot be replayed."""
    if settings.tick_source == "simulate" or settings.replay_file is None:
        return Simulated(settings.symbols, settings.seed, source, time.time_ns)
    columns, rows = open_rows(settings.replay_file, Wanted(settings.replay_map, frozenset(settings.replay_ignore_columns)))
    log.info("replaying", file=str(settings.replay_file), columns=list(columns.places))
    if columns.unused:
        log.warning("columns that are not read", count=len(columns.unused), columns=shown(columns.unused))
    if not columns.dated:
        log.warning("no column ts_event: the lake dates these ticks by when they arrive")
    return Replay(rows, source, rejects.name)


def open_pace(settings: Settings, feed: Simulated | Replay, now: float) -> Pace:
    """Give the pace of a feed, from a monotonic clock's reading on.

    TICK_SOURCE=replay with a REPLAY_SPEED above 0 keeps the time of the file's `ts_event`, that many times as fast (1: as
    recorded, 86400: a day a second); whatever else, TICKS_PER_SECOND rules, 0 being as fast as it can.
    """
    if isinstance(feed, Replay) and settings.replay_speed:
        return EventTimeReplay(feed, settings.replay_speed, now)
    return FixedRate(settings.ticks_per_second, now) if settings.ticks_per_second else Unthrottled()


class Rejects:
    """Counts bad rows by reason, and names the first `NAMED_REJECTS`: a wrong file must not fill a disk with its lines."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Name them in `log`."""
        self._log = log
        self._first: dict[str, int] = {}
        self._reasons: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many."""
        return self._reasons.total()

    def name(self, line: int, reason: str) -> None:
        """Name one."""
        code = reason.partition(":")[0]
        self._reasons[code] += 1
        self._first.setdefault(code, line)
        if self.count <= NAMED_REJECTS:
            self._log.warning("row left out", line=line, reason=reason)
        if self.count == NAMED_REJECTS:
            self._log.warning("further rows that are left out are only counted")

    def figures(self) -> dict[str, int]:
        """Give their number, if there are any."""
        return {"rows_left_out": self.count} if self.count else {}

    def sum_up(self) -> None:
        """List how many there were of each reason, the most frequent first."""
        for reason, rows in self._reasons.most_common():
            self._log.warning("rows left out", reason=reason, rows=rows, first_line=self._first[reason])
