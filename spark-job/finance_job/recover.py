"""Recover: make the tables the source of truth. `python -m finance_job.recover` (`make recover`).

It reads which offsets the two tables hold, reads from Kafka what they lack, notes in lake.json what Kafka no longer has, and
begins a fresh checkpoint where the tables end. Nothing depends on how far an earlier attempt came: what is missing is found out
anew, each piece is stored in one commit, and until the last step the guard keeps the job from starting.

Exit codes: 0 recovered, or nothing to do; 1 it could not; 2 wrong settings, or nobody said yes; 78 the job runs.
"""

from __future__ import annotations

import re
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from deltalake.exceptions import DeltaError
from pydantic import Field

from finance_contract import CONTRACT_VERSION
from finance_job import rewrite, transaction
from finance_job.config import Settings
from finance_job.data_file import rows_of
from finance_job.guard import examine
from finance_job.records import source
from finance_job.recovery_plan import NAMES, RecoverError, losses_of, make_plan
from finance_job.redrive import complete as complete_redrive
from finance_job.tables import create_tables
from finance_job.write import Task
from finance_lake.state import accounting, digest, spans
from finance_lake.state.broker import NoTopicError, SilentError, ask
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.files import sync_folder
from finance_lake.state.identity import DamagedError, Identity, write_identity
from finance_lake.state.layout import Layout
from finance_lake.state.record import CommitRecord, OffsetRange, Total
from finance_lake.state.table import newest_record, open_table
from finance_role.lock import hold_or_exit
from finance_role.settings import USAGE, begin_role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from deltalake import DeltaTable

    from finance_job.data_file import DataFile
    from finance_job.records import Source
    from finance_job.recovery_plan import Plan
    from finance_job.transaction import LiveFile
    from finance_lake.state.record import Offsets
    from finance_lake.state.spans import Spans

ROLE = "spark-job"
RANGE = r"([0-9]+):([0-9]+)(?:-([0-9]+))?"
STEP = 200_000
NO_RECORD = "Kafka has no record there, as where a transaction was marked"


class Recovery:
    """Carries a plan out, piece by piece; `say` tells what is done."""

    def __init__(self, layout: Layout, topic: Source, plan: Plan, say: Callable[[str], None]) -> None:
        """Take the plan; nothing happens yet. What the tables lack is read from `topic`."""
        self._layout = layout
        self._topic = topic
        self._plan = plan
        self._say = say
        self._id = str(uuid.uuid4())
        self._aside = layout.root / "aside" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        self._steps = dict.fromkeys(NAMES, 0)
        self._holes: list[Spans] = []

    def run(self) -> Identity:
        """Do it all; return what the lake is now. Raises SilentError when Kafka fails to give what it has."""
        for entry in self._plan.aside:
            self._put_aside_entry(entry)
        create_tables(self._layout)
        self._tables = {name: _open(self._layout, name) for name in NAMES}
        for name in NAMES:
            self._take_out(name)
        for partition, ranges in sorted(self._plan.backfill.items()):
            for span in ranges:
                self._backfill(partition, span)
        for name in NAMES:
            self._restate(name)
        return self._begin_again()

    def _put_aside_entry(self, entry: Path) -> None:
        # With the checksums beside it: Hadoop would compare them with the entry that takes its place.
        for path in (entry, *entry.parent.glob(f".{entry.name}.crc"), *entry.parent.glob(f"*{entry.stem}.crc*")):
            self._put_aside(path, entry.parents[1].name)

    def _put_aside(self, path: Path, folder: str) -> None:
        target = self._aside / folder / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        sync_folder(path.parent)
        self._say(f"{path} is now {target}")

    def _take_out(self, name: str) -> None:
        broken = self._plan.broken[name]
        change = rewrite.without(self._tables[name], name, self._layout.table(name), self._plan.leaving, broken)
        if change.removed:
            self._commit(name, change.added, change.removed, {})
            self._say(f"{name}: {len(change.removed)} files replaced by {len(change.added)}")

    def _backfill(self, partition: int, span: OffsetRange) -> None:
        for start in range(span.start, span.end, STEP):
            step = OffsetRange(start, min(start + STEP, span.end))
            task = Task({name: str(self._layout.table(name)) for name in NAMES}, int(time.time() * 1000))
            seen: list[pa.RecordBatch] = []
            files = list(task.files(_noting(self._topic({partition: step}), seen)))
            for name in NAMES:
                if added := [file for file in files if file.table == name]:
                    self._commit(name, added, [], {partition: step})
            offsets = np.concatenate([batch.column("offset").to_numpy() for batch in seen] or [np.array([], np.int64)])
            self._holes.append(spans.minus({partition: [step]}, spans.spans_of({partition: offsets})))
            self._say(f"partition {partition}: {step.start}-{step.end - 1} read again, {len(offsets)} records")

    def _restate(self, name: str) -> None:
        """Say in a last commit what the table holds now and where the lake goes on."""
        folder, total = self._layout.table(name), Total()
        for file in transaction.live_files(self._tables[name]):
            rows = rewrite.read(name, folder, file)
            total = total.plus(rows.num_rows, digest.digest_of(rows))
        self._commit(name, [], [], {}, total)

    def _commit(
        self,
        name: str,
        added: Sequence[DataFile],
        removed: Sequence[LiveFile],
        offsets: dict[int, OffsetRange],
        total: Total | None = None,
    ) -> None:
        before = newest_record(self._tables[name])
        rows = rows_of(added)
        of_rows = digest.add([file.digest for file in added])
        record = CommitRecord(
            contract=CONTRACT_VERSION,
            query=self._id,
            batch=self._steps[name],
            offsets=offsets,
            rows=rows,
            digest=digest.to_text(of_rows),
            position=self._plan.position if total else _position_of(before),
            total=total or (before.total if before else Total()).plus(sum(rows.values()), of_rows),
            redrives=self._redrives,
        )
        transaction.commit(self._tables[name], name, added, removed, record)
        self._steps[name] += 1

    @property
    def _redrives(self) -> int:
        records = [newest_record(table) for table in self._tables.values()]
        return max(record.redrives if record else 0 for record in records)

    def _begin_again(self) -> Identity:
        if self._layout.checkpoint.exists():
            self._put_aside(self._layout.checkpoint, "checkpoints")
        losses = (*self._plan.losses, *losses_of(spans.union(*self._holes), NO_RECORD))
        identity = msgspec.structs.replace(self._plan.identity, query=str(uuid.uuid4()), losses=losses)
        write_identity(self._layout.identity, identity)
        Checkpoint(self._layout.checkpoint).begin(identity.query, identity.topic, self._plan.position)
        return identity


def _noting(batches: Iterable[pa.RecordBatch], seen: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        seen.append(batch.select(["offset"]))
        yield batch


def _open(layout: Layout, name: str) -> DeltaTable:
    table = open_table(layout.table(name))
    if table is None:
        raise RecoverError(f"there is no table at {layout.table(name)}")
    return table


def _position_of(record: CommitRecord | None) -> Offsets:
    return record.position if record else {}


class RecoverSettings(Settings):
    """What `make recover` takes besides `.env`: records to skip by name, and rows to take for altered."""

    yes: bool = False
    skip: str = Field("", pattern=rf"^({RANGE}(,{RANGE})*)?$")
    altered: str = Field("", pattern=rf"^({RANGE}(,{RANGE})*)?$")


def spans_in(text: str) -> Spans:
    """Read `partition:offset` and `partition:first-last`, separated by commas; both ends count."""
    found = (re.fullmatch(RANGE, one) for one in text.split(",") if one)
    numbers = [(int(one[1]), int(one[2]), int(one[3] or one[2])) for one in found if one]
    return spans.union(*({partition: [OffsetRange(first, last + 1)]} for partition, first, last in numbers))


def main() -> int:
    """Plan, ask, do."""
    settings = begin_role(RecoverSettings)
    layout = Layout(settings.data_dir.resolve())
    with hold_or_exit(settings.data_dir, ROLE):
        try:
            return _recover(settings, layout)
        except (RecoverError, DamagedError, SilentError, NoTopicError, DeltaError) as error:
            sys.stderr.write(f"not recovered: {error}\n")
            return 1


def _recover(settings: RecoverSettings, layout: Layout) -> int:
    complete_redrive(layout)
    broker = ask(settings.kafka_bootstrap, settings.kafka_topic)
    plan = make_plan(layout, settings.kafka_topic, broker, spans_in(settings.skip), spans_in(settings.altered))
    if plan.is_idle and not accounting.disagreements(examine(layout, broker)):
        print("The lake is whole and its parts belong together: there is nothing to recover.")
        return 0
    print("To recover the lake:", *(f"- {step}" for step in plan.steps()), sep="\n")
    if not (settings.yes or _agreed()):
        sys.stderr.write("Nothing was changed. Answer with y, or say YES=1.\n")
        return USAGE
    # What retention removes meanwhile is noted as lost.
    topic = source(settings.kafka_bootstrap, settings.kafka_topic, passing_over=True)
    identity = Recovery(layout, topic, plan, print).run()
    lost = sum(loss.count for loss in identity.losses)
    print(f"Recovered, {lost} records known to be lost. `make verify` proves it; `make up` or `make local` goes on.")
    return 0


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Go on? [y/N] ").strip().lower() == "y"


if __name__ == "__main__":
    sys.exit(main())
