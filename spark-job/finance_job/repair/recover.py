"""Recover: repair the tables from Kafka. `python -m finance_job.repair.recover` (`make recover`).

With ADOPT=1 it also takes a lake over to another topic, if its cluster was replaced or its topic deleted and created again.

It determines which offsets the two tables hold and reads the missing ones from Kafka. A last commit to each table states what
is lost for good, what the table holds and where the stream continues. An interrupted attempt leaves nothing to clean up: the
next one determines again what is missing, each piece is stored in one commit, and the guard keeps the job from starting until
the last step is done.

Exit codes: 0 recovered, or nothing to do; 1 failed; 2 invalid settings, or not confirmed; 78 the job is running.
"""

from __future__ import annotations

import re
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from deltalake.exceptions import DeltaError
from pydantic import Field

from finance_job import transaction
from finance_job.config import Settings
from finance_job.failpoint import arm, hit
from finance_job.guard import examine, put_old_state_aside
from finance_job.records import kafka_reader
from finance_job.repair import rewrite
from finance_job.repair.adoption import AdoptionError
from finance_job.repair.altered_rows import altered_rows, lost_with_the_topic, report_of
from finance_job.repair.moving import complete as complete_move
from finance_job.repair.recovery_plan import RecoverError, excusing, losses_of, make_plan
from finance_job.schema_guard import UnfitSchemaError
from finance_job.tables import TABLES, create_tables
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_job.writer import ConflictError, FencedError, Writer
from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError, describe_topic
from finance_kafka.offsets import OffsetRange
from finance_role import beneath
from finance_role.exit_codes import USAGE
from finance_role.lock import hold_or_exit
from finance_role.settings import begin_role
from finance_storage import accounting, digest, offset_set, place
from finance_storage.commit_metadata import Total, in_both
from finance_storage.delta_table import newest_metadata, open_table
from finance_storage.errors import LakeError
from finance_storage.lake_identity import CorruptStateError, read_identity
from finance_storage.log_damage import damaged_log
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_verify.verdict import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import pyarrow as pa

    from finance_job.records import RangeReader
    from finance_job.repair.recovery_plan import RecoveryPlan
    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import OffsetSet
    from finance_storage.place import Place

ROLE = "spark-job"
RANGE = r"([0-9]+):([0-9]+)(?:-([0-9]+))?"
NONE = "none"
STEP = 200_000
NO_RECORD = "Kafka has no record there, for example because of a transaction marker"


class Recovery:
    """Carries out a plan piece by piece; `say` is called with a line for each."""

    def __init__(self, paths: LakePaths, topic: RangeReader, plan: RecoveryPlan, say: Callable[[str], None]) -> None:
        """Prepare to carry out `plan`; `run` does it. Missing records are read with `topic`."""
        self._paths = paths
        self._topic = topic
        self._plan = plan
        self._say = say
        self._aside = paths.aside / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self._holes: list[OffsetSet] = []

    def run(self) -> Identity:
        """Carry out the plan and return the lake's new identity. Raises BrokerUnavailableError if Kafka does not respond."""
        for entry in self._plan.aside:
            self._put_aside_entry(entry)
        create_tables(self._paths, self._plan.identity)
        self._writer = Writer(self._paths, self._plan.identity)
        for name in TABLES:
            self._writer.add_columns(name, self._plan.columns[name])
            self._take_out(name)
        for partition, ranges in sorted(self._plan.backfill.items()):
            for span in ranges:
                self._backfill(partition, span)
        return self._restate()

    def _put_aside_entry(self, entry: Place) -> None:
        # Together with its checksum files: Hadoop would compare them with the entry that replaces it.
        checksums = [name for name in place.names(entry.parent) if name == f".{entry.name}.crc" or f"{entry.stem}.crc" in name]
        for name in (entry.name, *checksums):
            path, target = entry.parent / name, self._aside / entry.parents[1].name / name
            place.move(self._paths.root, path, target)
            self._say(f"{path} is now {target}")

    def _take_out(self, name: str) -> None:
        broken = self._plan.broken[name]
        table = self._writer.table(name)
        change = rewrite.without(table, name, self._paths.table(name), self._plan.leaving, broken)
        if change.removed:
            self._writer.commit(name, change)
            self._say(f"{name}: {len(change.removed)} files replaced by {len(change.added)}")

    def _backfill(self, partition: int, span: OffsetRange) -> None:
        for start in range(span.start, span.end, STEP):
            step = OffsetRange(start, min(start + STEP, span.end))
            task = WorkerTask({name: self._paths.table(name) for name in TABLES}, int(time.time() * 1000))
            seen: list[pa.RecordBatch] = []
            files = list(task.files(_noting(self._topic({partition: step}), seen)))
            for name in TABLES:
                if added := [file for file in files if file.table == name]:
                    self._writer.commit(name, Change.of(added, {partition: step}), is_backfill=True)
            offsets = np.concatenate([batch.column("offset").to_numpy() for batch in seen] or [np.array([], np.int64)])
            self._holes.append(offset_set.minus({partition: [step]}, offset_set.spans_of({partition: offsets})))
            self._say(f"partition {partition}: {step.start}-{step.end - 1} read again, {len(offsets)} records")

    def _restate(self) -> Identity:
        losses = (*self._plan.losses, *losses_of(offset_set.union(*self._holes), NO_RECORD))
        identity = msgspec.structs.replace(self._plan.identity, losses=losses, excused=self._plan.excused)
        for name in TABLES:
            # The quarantine first: the table of ticks decides which topic a lake holds.
            self._writer.restate(name, identity, self._plan.position, self._total(name))
            hit(f"after-{name}-restate")
        return identity

    def _total(self, name: str) -> Total:
        total = Total()
        for file in transaction.live_files(self._writer.table(name)):
            rows = rewrite.read(name, self._paths.table(name), file)
            total = total.plus(rows.num_rows, digest.digest_of(rows))
        return total


def _noting(batches: Iterable[pa.RecordBatch], seen: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        seen.append(batch.select(["offset"]))
        yield batch


class RecoverSettings(Settings):
    """The settings of `make recover` besides `.env`: records to skip, rows to treat as altered, ticks to excuse.

    `adopt` takes the lake over to the topic that the broker has, if that is another one than the lake's.
    `altered` names the rows to read again. If it is empty verify finds them; `none` keeps the rows as they are.
    `excuse` names all ticks that are excused from now on. If it is empty nothing changes; `none` excuses none.
    """

    yes: bool = False
    adopt: bool = False
    skip: str = Field("", pattern=rf"^({RANGE}(,{RANGE})*)?$")
    altered: str = Field("", pattern=rf"^({NONE}|{RANGE}(,{RANGE})*)?$")
    excuse: str = Field("", pattern=rf"^({NONE}|{RANGE}(,{RANGE})*)?$")


def spans_in(text: str) -> OffsetSet:
    """Parse `partition:offset` and `partition:first-last`, separated by commas; both ends are included."""
    matches = (re.fullmatch(RANGE, item) for item in text.split(",") if item)
    numbers = [(int(match[1]), int(match[2]), int(match[3] or match[2])) for match in matches if match]
    return offset_set.union(*({partition: [OffsetRange(first, last + 1)]} for partition, first, last in numbers))


def named(text: str) -> OffsetSet:
    """Parse offsets as `spans_in` does, or `none`."""
    return spans_in(text.removeprefix(NONE))


def main() -> int:
    """Make a plan, show it, ask for confirmation and carry it out."""
    arm()
    settings = begin_role(RecoverSettings)
    paths = LakePaths.of(settings, settings.data_dir.resolve())
    with hold_or_exit(settings.data_dir, ROLE):
        try:
            return _recover(settings, paths)
        except (
            RecoverError,
            AdoptionError,
            CorruptStateError,
            BrokerUnavailableError,
            TopicNotFoundError,
            DeltaError,
            UnfitSchemaError,
            FencedError,
            ConflictError,
            beneath.IrregularError,
            LakeError,
        ) as error:
            sys.stderr.write(f"not recovered: {error}\n")
            return 1


def _recover(settings: RecoverSettings, paths: LakePaths) -> int:
    _complete_move(paths)
    broker = describe_topic(settings.kafka_bootstrap, settings.kafka_topic)
    report = report_of(paths, settings.kafka_topic, broker) if settings.adopt or not settings.altered else Report(())
    altered = named(settings.altered) if settings.altered else altered_rows(report)
    plan = make_plan(paths, settings.kafka_topic, broker, spans_in(settings.skip), altered, adopt=settings.adopt)
    if settings.adopt and not plan.left:
        print("The lake holds this topic already: there is nothing to adopt.")
    if settings.excuse:
        plan = excusing(plan, named(settings.excuse))
    if plan.is_idle and not accounting.find_inconsistencies(examine(paths, broker)):
        print("The lake is complete and its parts belong together: there is nothing to recover.")
        return 0
    print("To recover the lake:", *(f"- {step}" for step in plan.steps()), sep="\n")
    if plan.left:
        print(lost_with_the_topic(report))
    if not (settings.yes or _agreed()):
        sys.stderr.write("Nothing was changed. Answer y to go on, or set YES=1.\n")
        return USAGE
    # Records that retention removes meanwhile are noted as lost.
    topic = kafka_reader(settings.kafka_bootstrap, settings.kafka_topic, plan.identity.base, skip_missing=True)
    identity = Recovery(paths, topic, plan, print).run()
    for path in put_old_state_aside(paths):
        print(f"{path} is from an older version and no longer needed")
    lost = sum(loss.count for loss in identity.losses)
    print(f"Recovered; {lost} records are known to be lost. Check with `make verify`, go on with `make up` or `make local`.")
    return 0


def _complete_move(paths: LakePaths) -> None:
    """Complete an interrupted move first: its rows are in both tables, and Kafka may no longer have their records."""
    if any(True for name in TABLES for _ in damaged_log(paths.table(name))):
        return
    ticks, quarantine = (open_table(paths.table(name)) for name in (TICKS, QUARANTINE))
    if not (
        ticks and quarantine and in_both(newest_metadata(ticks, paths.ticks), newest_metadata(quarantine, paths.quarantine))
    ):
        return
    # The identity is read only now because recover repairs a damaged one.
    if identity := read_identity(paths):
        complete_move(paths, Writer(paths, identity))


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Go on? [y/N] ").strip().lower() == "y"


if __name__ == "__main__":
    sys.exit(main())
