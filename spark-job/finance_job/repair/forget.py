"""Forget a source: its ticks leave the table, and their records are listed in the quarantine as retracted.

So every record of the topic stays in exactly one table, and verify still proves it. `as_of` an earlier version still shows the
ticks, and `undo` brings them back with their own coordinates. Both are moves between the tables (`moving`).

`financelake forget SOURCE [--undo]` runs under the job's lock, or asks the running job.
Exit codes: 0 done, 1 not done, 2 invalid settings.
"""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from finance_contract import Tick, key
from finance_contract.retracted import RETRACTED, retracted_detail, retracted_value
from finance_job import transaction
from finance_job.config import Settings
from finance_job.repair import redrive, rewrite
from finance_job.repair.moving import RepairNotNowError, complete, move, require_rows, require_whole_batch, take_out_of_ticks
from finance_job.repair.request import ForgetRequest, RedriveAnswer
from finance_job.transaction import Change
from finance_job.writer import ConflictError
from finance_role.settings import begin_role
from finance_storage.data_file import write_data_file
from finance_storage.lake_identity import CorruptStateError
from finance_storage.offset_set import of_coordinates, union
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from finance_job.writer import Writer
    from finance_storage.offset_set import OffsetSet

# One pair of commits moves at most about this many rows, so that each fits into memory.
MAX_ROWS = 500_000
ANSWER_SECONDS = 600.0


def forget(paths: LakePaths, writer: Writer, source: str) -> int:
    """Move the ticks of a source to the quarantine; return their number. Nothing else may write the tables meanwhile."""
    complete(paths, writer)
    require_whole_batch(writer)
    moved, chosen = 0, Chosen()
    for file in transaction.live_files(writer.table(TICKS)):
        rows = rewrite.read(TICKS, paths.ticks, file)
        chosen.add(rows.filter(pc.equal(rows.column("source"), source)))
        if chosen.rows >= MAX_ROWS:
            moved, chosen = moved + _move(paths, writer, chosen.offsets), Chosen()
    return moved + _move(paths, writer, chosen.offsets)


def undo(paths: LakePaths, writer: Writer, source: str) -> int:
    """Move the retracted ticks of a source back; return their number."""
    return redrive.redrive(paths, writer, RETRACTED, source).moved


class Chosen:
    """Coordinates and number of the rows that were added."""

    def __init__(self) -> None:
        """Begin with none."""
        self.offsets: OffsetSet = {}
        self.rows = 0

    def add(self, rows: pa.Table) -> None:
        """Include rows."""
        coordinates = (rows.column(name).to_numpy() for name in ("kafka_partition", "kafka_offset"))
        self.offsets = union(self.offsets, of_coordinates(*coordinates))
        self.rows += rows.num_rows


def _move(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> int:
    return move(paths, writer, offsets, append, take_out_of_ticks)


def append(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> None:
    """Commit the first half: the ticks at these offsets are also in the quarantine. Raises CorruptStateError."""
    files = []
    for file in transaction.live_files(writer.table(TICKS)):
        rows = rewrite.read(TICKS, paths.ticks, file)
        mask = rewrite.inside(offsets, rows)
        if mask.any():
            quarantined = pa.Table.from_batches(_quarantined(rows.filter(pa.array(mask))), FIELDS[QUARANTINE])
            files.append(write_data_file(quarantined, QUARANTINE, paths.quarantine, {}))
    change = Change.of(files)
    require_rows("finance_delta", change, offsets)
    writer.commit(QUARANTINE, change, retracted=offsets)


def _quarantined(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in rows.to_batches(max_chunksize=50_000):
        yield pa.RecordBatch.from_pylist([_row(tick) for tick in batch.to_pylist()], FIELDS[QUARANTINE])


def _row(row: dict[str, Any]) -> dict[str, Any]:
    tick = Tick(row["symbol"], row["price"], row["size"], _ts_event(row), row["seq"], row["source"])
    value = retracted_value(tick)
    return {
        "kafka_partition": row["kafka_partition"],
        "kafka_offset": row["kafka_offset"],
        "kafka_timestamp": row["kafka_timestamp"],
        "key": key(tick.symbol),
        "value": value,
        "value_length": len(value),
        "value_sha256": hashlib.sha256(value).hexdigest(),
        "reason": RETRACTED,
        "detail": retracted_detail(tick),
        "ingested_at": row["ingested_at"],
    }


def _ts_event(row: dict[str, Any]) -> int | None:
    """Return the time of the event in nanoseconds; None for a tick without one, which the table dates by its arrival."""
    if row["ts_event_nanos"] is None:
        return None
    microseconds = pa.scalar(row["ts_event"], pa.timestamp("us", "UTC")).cast(pa.int64()).as_py()
    return int(microseconds) * 1000 + int(row["ts_event_nanos"])


def answer_to(paths: LakePaths, writer: Writer, request: ForgetRequest) -> RedriveAnswer:
    """Forget or undo, and return the result, or why it failed, as an answer."""
    try:
        moved = (undo if request.undo else forget)(paths, writer, request.source)
    except (RepairNotNowError, CorruptStateError, ConflictError) as error:
        return RedriveAnswer(done=False, sentence=str(error))
    if not moved:
        where = "no retracted ticks" if request.undo else "no ticks"
        return RedriveAnswer(done=False, sentence=f"the lake has {where} of {request.source}: `financelake sources` lists all")
    what = "are back in the table" if request.undo else "are retracted: no answer has them, the quarantine lists them"
    return RedriveAnswer(done=True, sentence=f"{moved:,} ticks of {request.source} {what}")


class ForgetSettings(Settings):
    """The settings of `financelake forget` besides `.env`."""

    source: str = Field(min_length=1, max_length=64)
    undo: bool = False


def main() -> int:
    """Forget in this process, or ask the running job."""
    settings = begin_role(ForgetSettings)
    paths = LakePaths.of(settings, settings.data_dir.resolve())
    request = ForgetRequest(settings.source, undo=settings.undo)
    return redrive.here_or_by_the_job(paths, request, lambda writer: answer_to(paths, writer, request), ANSWER_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
