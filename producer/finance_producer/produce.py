"""Assemble a run from the settings and carry it out."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from finance_producer.connection import REST_SECONDS, Link, connect
from finance_producer.feed import Simulated
from finance_producer.history import History, HistoryFirst, history_rate
from finance_producer.malformed_injector import MalformedInjector
from finance_producer.pace import EventTimeReplay, FixedRate, Pace, Unthrottled
from finance_producer.publisher import Publisher
from finance_producer.reading.columns import shown
from finance_producer.reading.options import UnreadableFileError
from finance_producer.reading.remote import OpenFile
from finance_producer.redelivery import Redelivery
from finance_producer.replay import Replay
from finance_producer.run import Run
from finance_producer.unused_topic import is_unused
from finance_producer.watch import ProgressWatch, patience_seconds
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.ledger import LedgerWriter, ledger_file, new_source
from finance_storage.ledger_copy import copied

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings
    from finance_producer.publisher import Client

MAX_LOGGED_REJECTS = 100


def produce(settings: Settings, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> int:
    """Carry out a run; return the number of records left unsent. Raises UnreadableFileError, FatalError and OSError."""
    source, link, rejects = source_name(settings), Link(log), Rejects(log)
    feed = open_feed(settings, source, rejects, log)
    heartbeat = Heartbeat(heartbeat_file(settings.data_dir, "producer"), patience_seconds(settings.ticks_per_second))
    client = connect(settings, link, log, stopping)
    if client is None:
        log.info("stopped before a broker answered")
        return 0
    link.topic.end()
    history = open_history(settings, client, link, stopping)
    publisher = Publisher(client, settings.kafka_topic)
    ledger = ledger_file(settings.data_dir, source)
    log.info("producing", source=source, ledger=str(ledger))
    header = {"source": source, "topic": settings.kafka_topic, "settings": settings.model_dump(mode="json")}
    run = Run(
        feed=feed,
        pace=begin(settings, feed, history, log),
        injector=MalformedInjector(settings.malformed_rate, settings.seed),
        publisher=publisher,
        ledger=LedgerWriter(ledger, header),
        link=link,
        redelivery=Redelivery.of_source(source, settings, partial(connect, settings, link, log), link, stopping),
        watch=ProgressWatch(publisher, link, heartbeat, log),
        stopping=stopping,
    )
    with copied(ledger, settings, log.warning):
        try:
            run.until_end(settings.max_ticks)
        finally:
            log.info("stopping", asked_to=stopping(), waiting=publisher.waiting)
            unsent = run.finish(settings.flush_seconds)
            log.info("stopped", **publisher.deliveries.figures(), **rejects.figures())
            if isinstance(feed, Replay):
                rejects.log_totals()
                warn_of_gaps(feed, publisher.deliveries.acknowledged, log)
    if isinstance(feed, Replay) and feed.ended and not publisher.deliveries.made:
        raise UnreadableFileError(f"{settings.replay_file} has no row that is a valid tick: nothing was published.")
    return unsent


def warn_of_gaps(feed: Replay, published: int, log: FilteringBoundLogger) -> None:
    """Warn, after the run, of ticks without a time and of an unfinished file."""
    if feed.undated:
        log.warning("ticks without a ts_event: the lake dates them by when they arrived", ticks=feed.undated)
    if not feed.ended:
        log.warning("stopped before the end of the file: the rest is not published", ticks=published)


def source_name(settings: Settings) -> str:
    """Return a unique name for this run."""
    return new_source(f"sim-{settings.seed}" if settings.tick_source == "simulate" else "replay")


def open_feed(settings: Settings, source: str, rejects: Rejects, log: FilteringBoundLogger) -> Simulated | Replay:
    """Open the feed. Raises UnreadableFileError for a file that cannot be replayed."""
    if settings.tick_source == "simulate" or settings.replay_file is None:
        return Simulated(settings.symbols, settings.seed, source, time.time_ns)
    file = OpenFile(settings.replay_file, settings.reading)
    described = file.described
    roles = [f"{ours}={theirs}" for ours, theirs in described.roles.items()]
    log.info("replaying", file=str(settings.replay_file), columns=roles, time=described.time, price=described.price)
    if described.unused:
        log.warning("unused columns", count=len(described.unused), columns=shown(described.unused))
    if not described.is_dated:
        log.warning("no column ts_event: the lake dates these ticks by when they arrive")
    if described.is_zone_assumed:
        log.warning("times without a zone are read as UTC: REPLAY_TIME_ZONE names their zone")
    return Replay(file.blocks(), source, rejects.add)


def open_history(settings: Settings, client: Client, link: Link, stopping: Callable[[], bool]) -> History | None:
    """Return the history that a simulated market begins with; None if it is switched off or the topic has ever had a record.

    Waits until the broker answers or `stopping` is true. Raises FatalError.
    """
    if settings.tick_source != "simulate" or not settings.history_minutes:
        return None
    while not stopping():
        link.check()
        unused = is_unused(settings.kafka_bootstrap, settings.kafka_topic)
        if unused is not None:
            rate = history_rate(settings.history_minutes, settings.ticks_per_second, settings.max_ticks)
            return History(settings.history_minutes, rate, time.time_ns) if unused else None
        client.poll(REST_SECONDS)
    return None


def begin(settings: Settings, feed: Simulated | Replay, history: History | None, log: FilteringBoundLogger) -> Pace:
    """Return the pace of a feed that starts now, with the history if there is one."""
    started = time.monotonic()
    if history is None or not isinstance(feed, Simulated):
        return open_pace(settings, feed, started)
    minutes = settings.history_minutes

    def live(now: float) -> Pace:
        log.info("history published", ticks=history.ticks, seconds=round(now - started, 1), minutes=minutes)
        return open_pace(settings, feed, now)

    feed.begin_with(history)
    log.info("history begins", minutes=minutes, ticks=history.planned(minutes), per_second=round(history.per_second, 1))
    return HistoryFirst(history, live)


def open_pace(settings: Settings, feed: Simulated | Replay, now: float) -> Pace:
    """Return the pace of a feed that starts at `now`, a reading of a monotonic clock.

    TICK_SOURCE=replay with a REPLAY_SPEED above 0 keeps the intervals of the file's `ts_event`, that many times as fast (1: as
    recorded, 86400: a day a second). Otherwise TICKS_PER_SECOND applies, where 0 is as fast as possible.
    """
    if isinstance(feed, Replay) and settings.replay_speed:
        return EventTimeReplay(feed, settings.replay_speed, now)
    return FixedRate(settings.ticks_per_second, now) if settings.ticks_per_second else Unthrottled()


class Rejects:
    """Counts bad rows by reason and logs the first `MAX_LOGGED_REJECTS`, so that a wrong file does not fill the disk."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        """Log bad rows to `log`."""
        self._log = log
        self._first: dict[str, int] = {}
        self._reasons: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """The number of bad rows."""
        return self._reasons.total()

    def add(self, line: int, reason: str) -> None:
        """Count a bad row, and log it if it is among the first."""
        code = reason.partition(":")[0]
        self._reasons[code] += 1
        self._first.setdefault(code, line)
        if self.count <= MAX_LOGGED_REJECTS:
            self._log.warning("row left out", line=line, reason=reason)
        if self.count == MAX_LOGGED_REJECTS:
            self._log.warning("further rows left out are only counted")

    def figures(self) -> dict[str, int]:
        """Return the number of bad rows as a log field; empty if there are none."""
        return {"rows_left_out": self.count} if self.count else {}

    def log_totals(self) -> None:
        """Log the number of bad rows for each reason, the most frequent first."""
        for reason, rows in self._reasons.most_common():
            self._log.warning("rows left out", reason=reason, rows=rows, first_line=self._first[reason])
