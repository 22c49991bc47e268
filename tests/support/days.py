"""Lakes over several days of arrival, with simulated clocks, and their sealing without a JVM or a broker."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import structlog
from deltalake import DeltaTable

from finance_job.sealing.sealing import GRACE, Sealing
from finance_storage import seals
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.paths import TICKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from finance_kafka.describe import TopicDescription
    from finance_storage.seals import Manifest
    from tests.support.lakes import BuiltLake

FIRST_DAY = date(2026, 11, 24)
LOG = structlog.get_logger()


def noon(day: int) -> datetime:
    """Return noon of the day with this number; day 0 is FIRST_DAY."""
    return datetime.combine(FIRST_DAY, datetime.min.time(), UTC) + timedelta(days=day, hours=12)


def date_of(day: int) -> date:
    """Return the date of a day."""
    return FIRST_DAY + timedelta(days=day)


def after_midnight(day: int, seconds: float = 0.0) -> datetime:
    """Return the first moment at which a day may be sealed, and `seconds` more."""
    return noon(day) + timedelta(hours=12) + GRACE + timedelta(seconds=seconds)


class Days:
    """A lake and the sealing of its days; `now` is the clock of the job, `lake.arrived` that of the broker."""

    def __init__(self, lake: BuiltLake) -> None:
        """Start on the first day."""
        self.lake = lake
        self.now = noon(0)
        self.describe: Callable[[], TopicDescription] = lambda: self.lake.broker
        self.sealing = self.start()

    def start(self) -> Sealing:
        """Start the job's sealing, as after a restart."""
        paths, writer = self.lake.paths, self.lake.writer
        self.sealing = Sealing(paths, writer, self._ask, self.between_batches, LOG, clock=lambda: self.now)
        return self.sealing

    @contextmanager
    def between_batches(self) -> Iterator[None]:
        """Stand for the sink, which holds up batches."""
        self.lake.writer.invalidate_cache()
        yield
        self.lake.writer.invalidate_cache()

    def _ask(self) -> TopicDescription:
        return self.describe()

    def arrive(self, values: Sequence[bytes | None], day: int, partition: int = 0) -> None:
        """Store records that arrive on a day."""
        self.lake.arrived = noon(day)
        self.lake.store(values, partition)

    def seal(self, now: datetime) -> None:
        """Seal what is final at a moment."""
        self.now = now
        self.sealing.all()

    def seal_again(self, now: datetime) -> None:
        """Seal days that were opened: the job notices it at a moment, and waits for a grace."""
        self.seal(now)
        self.seal(now + GRACE)

    @property
    def until(self) -> date | None:
        """The day before which all days are sealed, according to the log."""
        table = open_table(self.lake.paths.ticks)
        metadata = newest_metadata(table, self.lake.paths.ticks) if table else None
        return metadata.finalized_until if metadata else None

    def manifests(self) -> list[Manifest]:
        """Return the manifests of the sealed days."""
        return list(seals.sealed(self.lake.paths, self.until))

    def revisions(self) -> dict[int, int]:
        """Return the revision of each sealed day."""
        return {(manifest.date - FIRST_DAY).days: manifest.revision for manifest in self.manifests()}


class Row(NamedTuple):
    """A tick as far as a seal covers it: where it is, and its price."""

    date: date
    partition: int
    offset: int
    price: object


def rows_at(lake: BuiltLake, version: int) -> set[Row]:
    """Return the ticks of a version."""
    table = DeltaTable(str(lake.paths.table(TICKS)), version=version).to_pyarrow_table()
    columns = ("date", "kafka_partition", "kafka_offset", "price")
    return {Row(*values) for values in zip(*(table.column(name).to_pylist() for name in columns), strict=True)}
