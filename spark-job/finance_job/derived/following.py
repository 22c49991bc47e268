"""Keep a derived table up to date with the ticks, on a thread of its own: ingestion never waits for it.

`readStream` follows the tick table from the derived table's position. Each micro-batch says which keys its ticks touch; those
keys get a revision as of the last version of the batch. Where rows were removed (by recover), or the position is too old to be
followed from, all keys get one.
"""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from finance_job.derived.revision import Revisions
from finance_job.derived.sessions import plan_for
from finance_job.derived.table import KEY
from finance_job.derived.upkeep import Upkeep
from finance_job.spark_failure import KeptError, in_one_line
from finance_role import beneath
from finance_storage import delta_log, place
from finance_storage.delta_table import open_table
from finance_storage.derived_tables import Pause, pause_file
from finance_storage.errors import UnreadableError, first_line

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from pyspark.sql import DataFrame
    from pyspark.sql.streaming.query import StreamingQuery
    from structlog.typing import FilteringBoundLogger

    from finance_job.derived.sessions import TickTable
    from finance_job.derived.table import DerivedTable
    from finance_storage.paths import LakePaths

POLL_SECONDS = 0.5
# A minute's last ticks are committed after its end. A batch that includes them leaves the next one a single minute to compute.
SETTLE_SECONDS = 5.0
MAX_PAUSE_SECONDS = 300.0
# The log of the ticks and their replaced files are removed after a week. A table whose position is older is built anew.
MAX_POSITION_AGE = timedelta(days=6)
# What may pass by itself. Anything else is a fault of the code, most likely of the table's function: logged with a traceback.
PASSING = (PySparkException, Py4JError, DeltaError, UnreadableError, OSError)


class Following(threading.Thread):
    """Follows the ticks with one derived table. A failure pauses the table, is reported, and is retried with growing pauses."""

    def __init__(
        self, ticks: TickTable, table: DerivedTable, trigger_seconds: float, turn: threading.Lock, log: FilteringBoundLogger
    ) -> None:
        """Nothing runs before `start`, and the first batch only after `trigger_seconds`. Tables compute one at a `turn`."""
        super().__init__(name=f"derived-{table.name}", daemon=True)
        self._ticks = ticks
        self._paths = ticks.paths
        self._table = table
        self._trigger_seconds = trigger_seconds
        self._turn = turn
        self._log = log
        self._stopping = threading.Event()
        self._scratch = ticks.paths.derived_run / table.name
        self._pause_file = pause_file(ticks.paths, table.name)
        self._failing_since: datetime | None = None
        self._failure = KeptError()

    def stop(self) -> None:
        """Tell it to end. Its running Spark job ends by itself, or is cancelled."""
        self._stopping.set()

    def close(self) -> None:
        """Wait until it has ended, and remove its scratch files."""
        self.join()
        beneath.remove(self._paths.folder, self._scratch)
        beneath.remove(self._paths.folder, self._pause_file)

    def run(self) -> None:
        """Follow until `stop`."""
        seconds = 1.0
        self._stopping.wait(self._trigger_seconds)
        while not self._stopping.is_set():
            try:
                self._follow()
            except Exception as error:  # noqa: BLE001 (reported, and tried again: ingestion must go on)
                if self._stopping.is_set():  # its Spark job was cancelled
                    return
                seconds = min(2 * seconds, MAX_PAUSE_SECONDS) if self._failing_since else 1.0
                self._report(error, seconds)
                self._stopping.wait(seconds)

    def _report(self, error: Exception, seconds: float) -> None:
        now, reason = datetime.now(UTC), first_line(error)
        self._failing_since = self._failing_since or now
        self._log.warning(
            "derived table paused",
            table=self._table.name,
            reason=reason,
            in_seconds=seconds,
            exc_info=None if isinstance(error, PASSING) else error,
        )
        pause = Pause(reason, self._failing_since, now + timedelta(seconds=seconds))
        try:
            beneath.write_whole(self._paths.folder, self._pause_file, msgspec.json.encode(pause), flush=False)
        except OSError as problem:
            self._log.warning("status will not show the pause", table=self._table.name, reason=str(problem))

    def _succeeded(self) -> None:
        if self._failing_since:
            self._log.info("derived table goes on", table=self._table.name)
        beneath.remove(self._paths.folder, self._pause_file)  # an earlier run that was killed may have left it too
        self._failing_since = None

    def _follow(self) -> None:
        self._failure = KeptError()
        revisions = Revisions(self._ticks, self._table)
        position = revisions.position
        if position is None or not self._can_follow_from(position):
            with self._turn:
                position = self._newest_version()
                revisions.restate_all(position)
            self._log.info("derived table built", table=self._table.name, as_of=position)
            self._succeeded()
        query = self._query(revisions, position)
        try:
            while query.isActive and not self._stopping.wait(POLL_SECONDS):
                pass
        finally:
            query.stop()
        if self._stopping.is_set():
            return
        if self._failure.error:
            raise self._failure.error
        query.awaitTermination()  # raises what ended it

    def _query(self, revisions: Revisions, position: int) -> StreamingQuery:
        checkpoint = self._fresh_checkpoint()
        upkeep = Upkeep(self._paths.derived(self._table.name))
        batches = Batches(revisions, self._paths, self._table, checkpoint, position)

        def process(batch: DataFrame, number: int) -> None:
            with self._turn, self._failure.keeping():
                batches.process(batch, number)
                upkeep.step()
            self._succeeded()
            # Spark plans a batch as soon as the one before has ended.
            self._stopping.wait(until_next(time.time(), self._trigger_seconds))

        return (
            self._ticks.few.readStream.format("delta")
            .option("skipChangeCommits", "true")  # rows that were removed are seen in the log: see Batches
            .option("startingVersion", position)
            .load(place.spark_uri(self._paths.ticks))
            .writeStream.foreachBatch(in_one_line(process))
            .queryName(self._table.name)
            .option("checkpointLocation", str(checkpoint))
            .start()
        )

    def _can_follow_from(self, position: int) -> bool:
        entry = delta_log.entry(self._paths.ticks, position)
        return entry is not None and datetime.now(UTC) - entry.committed < MAX_POSITION_AGE

    def _newest_version(self) -> int:
        table = open_table(self._paths.ticks)
        if table is None:
            raise UnreadableError(f"There is no table at {self._paths.ticks}.")
        return int(table.version())

    def _fresh_checkpoint(self) -> Path:
        beneath.remove(self._paths.folder, self._scratch)
        beneath.make_folder(self._paths.folder, self._scratch)
        return self._scratch / "checkpoint"


class Batches:
    """Turns each micro-batch of ticks into a revision."""

    def __init__(self, revisions: Revisions, paths: LakePaths, table: DerivedTable, checkpoint: Path, position: int) -> None:
        """Begin after the version `position` of the tick table."""
        self._revisions = revisions
        self._ticks = paths.ticks
        self._table = table
        self._checkpoint = checkpoint
        self._position = position

    def process(self, batch: DataFrame, number: int) -> None:
        """Append a revision of the keys that the batch touches; of all keys where rows were removed."""
        end = self._end_version(number)
        if end <= self._position:
            return
        commits = list(delta_log.entries(self._ticks, end, self._position + 1))
        if any(commit.deletes for commit in commits):
            self._revisions.restate_all(end)
        elif keys := self._keys(batch, sum(commit.rows for commit in commits)):
            self._revisions.restate(keys, end)
        self._position = end

    def _keys(self, batch: DataFrame, rows: int) -> pa.Table:
        plan_for(batch.sparkSession, rows)
        return batch.select(KEY[0], self._table.bucket().alias(KEY[1])).distinct().toArrow()

    def _end_version(self, number: int) -> int:
        """Return the last version that a batch covers: Spark plans it before the batch runs."""
        offset = json.loads((self._checkpoint / "offsets" / str(number)).read_text().splitlines()[-1])
        # An index of -1 means all before this version; the options that would end a batch within one are not set.
        return int(offset["reservoirVersion"]) - int(offset["index"] == -1)


def until_next(now: float, every: float) -> float:
    """Seconds from a time since 1970 until the next batch: `SETTLE_SECONDS` after a multiple of `every` seconds."""
    return every - (now - SETTLE_SECONDS) % every
