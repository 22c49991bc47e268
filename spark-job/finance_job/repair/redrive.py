"""Redrive: move quarantined records that pass the current rules into the table of ticks, with their own coordinates.

Exactly once, even if it is killed: one commit appends the rows to ticks, names their offsets and increments the count of
redrives. A second commit removes them from the quarantine and increments its count too. Between the two commits the rows are in
both tables. Verify, the guard and the next start of the job recognise this by the counts. The next start removes the remaining
rows from the quarantine.

`make redrive REASON=price_decimals`, or `REASON=all`, runs under the job's lock, or asks the running job.
Exit codes: 0 done, 1 not done, 2 invalid settings.
"""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import DeltaError
from pydantic import Field

from finance_contract.retracted import RETRACTED
from finance_job import transaction
from finance_job.config import Settings
from finance_job.decode import decode_records
from finance_job.repair import rewrite
from finance_job.repair.moving import (
    RepairNotNowError,
    complete,
    move,
    require_rows,
    require_whole_batch,
    take_out_of_quarantine,
)
from finance_job.repair.request import ForgetRequest, RedriveAnswer, ask_job
from finance_job.schema_guard import UnfitSchemaError
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_job.writer import ConflictError, FencedError, Writer
from finance_role import beneath
from finance_role.lock import AlreadyRunningError, hold
from finance_role.settings import begin_role
from finance_storage.delta_table import open_table
from finance_storage.errors import LakeError
from finance_storage.lake_identity import CorruptStateError, read_identity
from finance_storage.offset_set import OffsetSet, of_coordinates, union
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.schemas import UTC_MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deltalake import DeltaTable

ALL = "all"
ROLE = "spark-job"
ANSWER_SECONDS = 120.0
TAKEN_SECONDS = 20.0  # a job that runs looks every 2 s, between its batches
# One pair of commits moves at most about this many ranges, because the log names each of them.
MAX_RANGES = 50_000


class Redriven(msgspec.Struct, frozen=True):
    """The result of a redrive: the number of records examined and moved."""

    examined: int
    moved: int

    def sentence(self, reason: str) -> str:
        """Return the result as a sentence for the log and the terminal."""
        return f"of {self.examined} quarantined records with reason {reason}, {self.moved} pass the rules now and are ticks"


def redrive(paths: LakePaths, writer: Writer, reason: str, source: str | None = None) -> Redriven:
    """Decode quarantined records with a reason again and move those that pass; with a source, only its retracted ticks.

    ALL is every reason but RETRACTED.

    Nothing else may write the tables meanwhile: call it under the job's lock, or in the job between two batches.
    """
    complete(paths, writer)
    require_whole_batch(writer)
    examined = moved = 0
    passing: OffsetSet = {}
    for records in _quarantined(paths, writer.table(QUARANTINE), reason, source):
        examined += records.num_rows
        passing = union(passing, _passing(records))
        if sum(map(len, passing.values())) > MAX_RANGES:
            moved, passing = moved + _move(paths, writer, passing), {}
    return Redriven(examined, moved + _move(paths, writer, passing))


def _move(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> int:
    return move(paths, writer, offsets, _append, take_out_of_quarantine)


def _append(paths: LakePaths, writer: Writer, offsets: OffsetSet) -> None:
    task = WorkerTask({TICKS: paths.ticks}, int(time.time() * 1000))
    quarantined = _rows_inside(paths, writer.table(QUARANTINE), offsets)
    change = Change.of(list(task.files(_kafka_records(rows) for rows in quarantined)))
    require_rows("the quarantine", change, offsets)
    writer.commit(TICKS, change, redriven=offsets)


def _quarantined(paths: LakePaths, quarantine: DeltaTable, reason: str, source: str | None) -> Iterator[pa.RecordBatch]:
    """Yield the records with a reason whose values were not cut, one data file at a time."""
    for file in transaction.live_files(quarantine):
        rows = rewrite.read(QUARANTINE, paths.quarantine, file)
        whole = pc.equal(pc.binary_length(rows.column("value")), rows.column("value_length"))
        is_sought = pc.not_equal(rows.column("reason"), RETRACTED) if reason == ALL else pc.equal(rows.column("reason"), reason)
        chosen = pc.and_(whole, is_sought)
        if source is not None:
            chosen = pc.and_(chosen, pc.match_substring_regex(rows.column("detail"), f"^[0-9]* {re.escape(source)}$"))
        yield _kafka_records(rows.filter(chosen))


def _rows_inside(paths: LakePaths, quarantine: DeltaTable, offsets: OffsetSet) -> Iterator[pa.Table]:
    for file in transaction.live_files(quarantine):
        rows = rewrite.read(QUARANTINE, paths.quarantine, file)
        mask = rewrite.inside(offsets, rows)
        if mask.any():
            yield rows.filter(pa.array(mask))


def _kafka_records(rows: pa.Table) -> pa.RecordBatch:
    """Convert quarantined rows to the columns of Kafka records, ready to decode."""
    columns = {
        "key": rows.column("key"),
        "value": rows.column("value"),
        "partition": rows.column("kafka_partition"),
        "offset": rows.column("kafka_offset"),
        "timestamp": rows.column("kafka_timestamp").cast(UTC_MICROSECONDS),
    }
    return pa.RecordBatch.from_arrays([column.combine_chunks() for column in columns.values()], names=list(columns))


def _passing(records: pa.RecordBatch) -> OffsetSet:
    decoded = decode_records(records, pa.scalar(0, pa.int64()).cast(UTC_MICROSECONDS)).ticks
    return of_coordinates(*(decoded.column(name).to_numpy() for name in ("kafka_partition", "kafka_offset")))


class RedriveSettings(Settings):
    """The setting of `make redrive` besides `.env`: a reason code, or `all`."""

    reason: str = Field(pattern=r"^[a-z0-9_]{1,40}$")


def answer_to(paths: LakePaths, writer: Writer, reason: str) -> RedriveAnswer:
    """Redrive and return the result, or why it failed, as an answer."""
    try:
        return RedriveAnswer(done=True, sentence=redrive(paths, writer, reason).sentence(reason))
    except (RepairNotNowError, CorruptStateError, ConflictError) as error:
        return RedriveAnswer(done=False, sentence=str(error))


def _here(paths: LakePaths, perform: Callable[[Writer], RedriveAnswer]) -> RedriveAnswer:
    try:
        identity = read_identity(paths)
        if identity is None or any(open_table(paths.table(name)) is None for name in (TICKS, QUARANTINE)):
            return RedriveAnswer(done=False, sentence=f"there is no complete lake at {paths.root}: `make recover` repairs it")
        return perform(Writer(paths, identity))
    except (UnfitSchemaError, FencedError, ConflictError, CorruptStateError, beneath.IrregularError, LakeError) as error:
        return RedriveAnswer(done=False, sentence=str(error))
    except DeltaError as error:
        what = str(error).split("\n", 1)[0]
        return RedriveAnswer(
            done=False, sentence=f"the lake at {paths.root} cannot be read ({what}): `make recover` repairs it"
        )


def here_or_by_the_job(
    paths: LakePaths, wanted: str | ForgetRequest, perform: Callable[[Writer], RedriveAnswer], wait_seconds: float
) -> int:
    """Do it under the job's lock, or ask the running job for what is `wanted`; print the result, return the exit code."""
    try:
        with hold(paths.folder, ROLE):
            # A job that runs on another machine does not hold the lock of this one.
            answer = ask_job(paths, wanted, wait_seconds, TAKEN_SECONDS) if paths.is_in_a_bucket else None
            answer = answer or _here(paths, perform)
    except AlreadyRunningError:
        answer = ask_job(paths, wanted, wait_seconds)
    except (beneath.IrregularError, LakeError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if answer is None:
        sys.stderr.write(f"The job has not answered within {wait_seconds:.0f} s; its log will show the result.\n")
        return 1
    print(answer.sentence)
    return 0 if answer.done else 1


def main() -> int:
    """Redrive in this process, or ask the running job."""
    settings = begin_role(RedriveSettings)
    paths = LakePaths.of(settings, settings.data_dir.resolve())
    return here_or_by_the_job(paths, settings.reason, lambda writer: answer_to(paths, writer, settings.reason), ANSWER_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
