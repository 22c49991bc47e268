"""Publish the ticks of a file, and record acknowledgements in the ledger of its source."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from finance_producer.connection import Link, connect
from finance_producer.malformed_injector import MalformedInjector
from finance_producer.pace import Unthrottled
from finance_producer.publisher import Publisher
from finance_producer.redelivery import Redelivery
from finance_producer.run import Run
from finance_producer.watch import ProgressWatch
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.ledger import LedgerWriter, ledger_file
from finance_storage.ledger_copy import copied

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from structlog.typing import FilteringBoundLogger

    from finance_producer.config import Settings
    from finance_producer.importing.feed import FileFeed
    from finance_producer.importing.identity import Identity
    from finance_storage.ledger import Range

PATIENCE_SECONDS = 10.0
# A call of Python for each tick that has arrived takes a third of the time of publishing; lz4 takes less CPU than zstd.
BULK = {"delivery.report.only.error": True, "compression.type": "lz4"}
MAX_BLOCK_TICKS = 10_000  # of one source, so that blocks may be larger than a simulation's


class Import(NamedTuple):
    """An import that can be published: the file's name, its identity, and the numbers that are in the topic already."""

    name: str
    identity: Identity
    arrived: Sequence[Range] | None


def publish(work: Import, feed: FileFeed, settings: Settings, log: FilteringBoundLogger, stopping: Callable[[], bool]) -> int:
    """Publish all ticks of the feed; return the number of those that the broker has not acknowledged.

    Raises UnreadableFileError, FatalError, KafkaException and OSError.
    """
    link = Link(log)
    connected = partial(connect, settings, link, log, special=BULK)
    client = connected(stopping)
    if client is None:
        return 0
    link.topic.end()
    publisher = Publisher(client, settings.kafka_topic)
    source = work.identity.source
    heartbeat = Heartbeat(heartbeat_file(settings.data_dir, "import"), PATIENCE_SECONDS)
    run = Run(
        feed=feed,
        pace=Unthrottled(MAX_BLOCK_TICKS),
        injector=MalformedInjector(0, 0),
        publisher=publisher,
        ledger=_ledger(work, settings),
        link=link,
        redelivery=Redelivery.of_source(source, settings, connected, link, stopping),
        watch=ProgressWatch(publisher, link, heartbeat, log),
        stopping=stopping,
    )
    with copied(ledger_file(settings.data_dir, source), settings, log.warning):
        try:
            run.until_end(0)
        finally:
            unsent = run.finish(settings.flush_seconds, whole=int(feed.ended), rows=feed.rows, left_out=feed.left_out.total())
    return unsent


def _ledger(work: Import, settings: Settings) -> LedgerWriter:
    header = {
        "source": work.identity.source,
        "topic": settings.kafka_topic,
        "file": work.name,
        "sha256": work.identity.sha256,
        "mapping": work.identity.mapping,
    }
    file = ledger_file(settings.data_dir, work.identity.source)
    return LedgerWriter(file, header) if work.arrived is None else LedgerWriter.again(file, header, work.arrived)
