"""Keep a derived table up to date with the ticks, on a thread of its own: ingestion never waits for it.

`readStream` follows the tick table from the derived table's position. Each micro-batch says which keys its ticks touch; those
keys get a revision as of the last version of the batch. Where rows were removed (by recover), or the log no longer has the
versions since the position, all keys get one.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from finance_job.derived.revision import Revisions
from finance_job.derived.table import KEY
from finance_role import beneath
from finance_storage import delta_log
from finance_storage.delta_table import open_table
from finance_storage.errors import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame
    from structlog.typing import FilteringBoundLogger

    from finance_job.derived.revision import TickTable
    from finance_job.derived.table import DerivedTable
    from finance_storage.paths import LakePaths

POLL_SECONDS = 0.5
MAX_PAUSE_SECONDS = 300.0
# What another attempt may mend; anything else is a fault of the code, and ends the thread with a traceback in the log.
PASSING = (PySparkException, Py4JError, DeltaError, UnreadableError, OSError)


class Following(threading.Thread):
    """Follows the ticks with one derived table. A failure pauses it, is logged, and is retried with growing pauses."""

    def __init__(self, ticks: TickTable, table: DerivedTable, trigger_seconds: float, log: FilteringBoundLogger) -> None:
        """Nothing runs before `start`."""
        super().__init__(name=f"derived-{table.name}", daemon=True)
        self._ticks = ticks
        self._paths = ticks.paths
        self._table = table
        self._trigger = f"{trigger_seconds} seconds"
        self._log = log
        self._stopping = threading.Event()
        self._scratch = ticks.paths.root / "run" / "derived" / table.name

    def stop(self) -> None:
        """Tell it to end. Its running Spark job ends by itself, or is cancelled."""
        self._stopping.set()

    def close(self) -> None:
        """Wait until it has ended, and remove its scratch files."""
        self.join()
        beneath.remove(self._paths.root, self._scratch)

    def run(self) -> None:
        """Follow until `stop`."""
        pause = 1.0
        while not self._stopping.is_set():
            try:
                self._follow()
            except PASSING as error:
                if self._stopping.is_set():  # its Spark job was cancelled
                    return
                self._log.warning("derived table paused", table=self._table.name, reason=_reason(error), in_seconds=pause)
                self._stopping.wait(pause)
                pause = min(2 * pause, MAX_PAUSE_SECONDS)

    def _follow(self) -> None:
        revisions = Revisions(self._ticks, self._table)
        position = revisions.position
        if position is None or not delta_log.has(self._paths.ticks, position):
            position = self._newest_version()
            revisions.restate_all(position)
            self._log.info("derived table built", table=self._table.name, as_of=position)
        checkpoint = self._fresh_checkpoint()
        batch = Batches(revisions, self._paths, self._table, checkpoint, position)
        query = (
            self._ticks.spark.readStream.format("delta")
            .option("skipChangeCommits", "true")  # rows that were removed are seen in the log: see Batches
            .option("startingVersion", position)
            .load(str(self._paths.ticks))
            .writeStream.foreachBatch(batch)
            .queryName(self._table.name)
            .option("checkpointLocation", str(checkpoint))
            .trigger(processingTime=self._trigger)
            .start()
        )
        try:
            while query.isActive and not self._stopping.wait(POLL_SECONDS):
                pass
        finally:
            query.stop()
        if not self._stopping.is_set():
            query.awaitTermination()  # raises what ended it

    def _newest_version(self) -> int:
        table = open_table(self._paths.ticks)
        if table is None:
            raise UnreadableError(f"There is no table at {self._paths.ticks}.")
        return int(table.version())

    def _fresh_checkpoint(self) -> Path:
        beneath.remove(self._paths.root, self._scratch)
        beneath.make_folder(self._paths.root, self._scratch)
        return self._scratch / "checkpoint"


class Batches:
    """Turns each micro-batch of ticks into a revision (`foreachBatch`)."""

    def __init__(self, revisions: Revisions, paths: LakePaths, table: DerivedTable, checkpoint: Path, position: int) -> None:
        """Begin after the version `position` of the tick table."""
        self._revisions = revisions
        self._ticks = paths.ticks
        self._table = table
        self._checkpoint = checkpoint
        self._position = position

    def __call__(self, batch: DataFrame, number: int) -> None:
        """Append a revision of the keys that the batch touches; of all keys where rows were removed."""
        end = self._end_version(number)
        if end <= self._position:
            return
        if self._removes_rows(end):
            self._revisions.restate_all(end)
        elif keys := batch.select(KEY[0], self._table.bucket().alias(KEY[1])).distinct().toArrow():
            self._revisions.restate(keys, end)
        self._position = end

    def _end_version(self, number: int) -> int:
        """Return the last version that a batch covers: Spark plans it before the batch runs."""
        offset = json.loads((self._checkpoint / "offsets" / str(number)).read_text().splitlines()[-1])
        # An index of -1 means all before this version; the options that would end a batch within one are not set.
        return int(offset["reservoirVersion"]) - int(offset["index"] == -1)

    def _removes_rows(self, end: int) -> bool:
        return any(entry.deletes for entry in delta_log.entries(self._ticks, end, self._position + 1))


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
