"""Lakes for tests, built in milliseconds with the job's own decoding, file writing and commits, without a JVM."""

from __future__ import annotations

import atexit
import copy
import json
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

from finance_job.tables import PARTITIONS, create_tables
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_job.writer import Writer
from finance_kafka.describe import BrokerUnavailableError, TopicDescription
from finance_kafka.offsets import OffsetRange
from finance_role import beneath
from finance_storage.derived_tables import Pause, pause_file
from finance_storage.lake_identity import PROPERTY, Identity, Loss
from finance_storage.paths import QUARANTINE, TICKS, LakePaths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from finance_storage.commit_metadata import CommitMetadata
    from finance_storage.data_file import WrittenFile

TOPIC = "finance"
LAKE = "11111111-2222-3333-4444-555555555555"
ARRIVED = datetime(2026, 11, 24, 12, tzinfo=UTC)
GOOD = b'{"symbol": "AAPL", "price": 174.5}'
BAD = b'{"symbol": "AAPL", "price": "174.5"}'

RECORDS = pa.schema(
    {
        "key": pa.binary(),
        "value": pa.binary(),
        "partition": pa.int32(),
        "offset": pa.int64(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
)


def numbered(count: int, first: int = 0, source: str = "sim-1") -> list[bytes]:
    """Return ticks as a producer makes them: numbered, each with a different price."""
    return [
        json.dumps({"symbol": "AAPL", "price": 100 + number / 100, "seq": number, "source": source}).encode()
        for number in range(first, first + count)
    ]


class Creator(Writer):
    """The driver that has just created the lake. It fences no driver and raises no epoch: version 1 is its first batch."""

    def __init__(self, paths: LakePaths, identity: Identity) -> None:
        super().__init__(paths, identity)
        self.epoch = 0

    def _take_over(self, name: str) -> None:
        self._opened[name] = self._read(name)


class BuiltLake:
    """A lake that the test fills batch by batch, with an imaginary broker."""

    def __init__(self, root: Path, *, partitions: int = 1, first: int = 0) -> None:
        """Create the lake with empty tables; its partitions begin at offset `first`."""
        self.paths = LakePaths(root)
        self.ends = dict.fromkeys(range(partitions), first)
        self.batch = -1
        self.arrived = ARRIVED
        self.identity = Identity(LAKE, "the-cluster", TOPIC, "the-topic", dict(self.ends), "2026-11-24T12:00:00+00:00")
        create_tables(self.paths, self.identity)
        self.writer: Writer = Creator(self.paths, self.identity)

    def copied_to(self, root: Path) -> BuiltLake:
        """Return a copy of the lake, as it is now, in another folder."""
        shutil.copytree(self.paths.root, root, dirs_exist_ok=True)
        other = copy.copy(self)
        other.paths, other.ends = LakePaths(root), dict(self.ends)
        other.writer = Creator(other.paths, self.identity)
        return other

    @property
    def broker(self) -> TopicDescription:
        """The description of a broker that has exactly the stored records of the lake's current topic."""
        held, base = self.identity.current, self.identity.base
        end = {partition - base: offset for partition, offset in self.ends.items() if partition >= base}
        return TopicDescription(held.cluster, held.topic_id, dict.fromkeys(end, 0), end)

    def store(self, values: Sequence[bytes | None], partition: int = 0) -> int:
        """Store a batch; return its number."""
        files = self.write(values, partition, self.plan(len(values), partition))
        self.commit(QUARANTINE, files)
        self.commit(TICKS, files)
        return self.batch

    def plan(self, count: int, partition: int = 0) -> int:
        """Start the next batch; return its first offset."""
        start = self.ends[partition]
        self.plan_all({partition: count})
        return start

    def plan_all(self, counts: dict[int, int]) -> None:
        """Start a batch with records of several partitions."""
        self.batch += 1
        self.spans = {number: OffsetRange(end, end + counts.get(number, 0)) for number, end in self.ends.items()}
        self.ends = {number: span.end for number, span in self.spans.items()}
        self.writer.invalidate_cache()

    def write(self, values: Sequence[bytes | None], partition: int, start: int) -> list[WrittenFile]:
        """Write the batch's data files."""
        rows = [
            {"key": b"AAPL", "value": value, "partition": partition, "offset": start + index, "timestamp": self.arrived}
            for index, value in enumerate(values)
        ]
        task = WorkerTask({name: self.paths.table(name) for name in (TICKS, QUARANTINE)}, 1_764_000_000_000 + self.batch)
        return list(task.files(iter([pa.RecordBatch.from_pylist(rows, RECORDS)])))

    def commit(self, name: str, files: Sequence[WrittenFile], holes: int = 0) -> None:
        """Commit the files of one table, as the sink does."""
        files = [file for file in files if file.table == name]
        if name == TICKS or files:
            self.writer.commit(name, Change.of(files, self.spans, holes))

    def pause(self, derived: str, reason: str) -> None:
        """Report that a derived table is paused, as the job does."""
        now = datetime.now(UTC)
        content = msgspec.json.encode(Pause(reason, now, now + timedelta(seconds=5)))
        beneath.write_whole(self.paths.root, pause_file(self.paths, derived), content)

    def note_losses(self, *losses: Loss) -> None:
        """Mark offsets as lost, as recover does."""
        self.identity = msgspec.structs.replace(self.identity, losses=losses)
        for name in (QUARANTINE, TICKS):
            record = self.writer.metadata(name)
            self.writer.restate(name, self.identity, record.position, record.total)

    def mix_with_another_lake(self, elsewhere: Path) -> None:
        """Replace the quarantine by that of another lake, whose id is `another`."""
        other = LakePaths(elsewhere)
        create_tables(other, msgspec.structs.replace(self.identity, lake="another"))
        shutil.rmtree(self.paths.quarantine)
        shutil.copytree(other.quarantine, self.paths.quarantine)

    def lose_identity(self) -> None:
        """Remove the identity from both tables."""
        for name in (QUARANTINE, TICKS):
            DeltaTable(str(self.paths.table(name))).alter.set_table_properties({PROPERTY: ""}, raise_if_not_exists=False)

    def append(self, name: str, files: Sequence[WrittenFile], record: CommitMetadata | None = None) -> None:
        """Commit files as another writer would: without a transaction, and without commit metadata unless `record` is given."""
        table = DeltaTable(str(self.paths.table(name)))
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=file.path,
                size=file.size,
                partition_values=file.partition_values,
                modification_time=1_764_000_000_000,
                data_change=True,
                stats=msgspec.json.encode(file.statistics).decode(),
            )
            for file in files
        ]
        properties = CommitProperties(custom_metadata={"userMetadata": record.encode()} if record else None)
        table.create_write_transaction(actions, "append", table.schema(), PARTITIONS[name], commit_properties=properties)

    def files(self, name: str) -> list[Path]:
        """Return the live data files of a table."""
        table = DeltaTable(str(self.paths.table(name)))
        return [self.paths.table(name) / path for path in pa.table(table.get_add_actions()).column("path").to_pylist()]


def no_broker(*_: object) -> TopicDescription:
    """Fail as a query of a broker that does not answer."""
    raise BrokerUnavailableError("no broker answers at 127.0.0.1:9092")


def made_once(make: Callable[[Path], BuiltLake]) -> Callable[[Path], BuiltLake]:
    """Return a function that does what `make` does, by copying the lake that `make` has made once in this process."""

    @cache
    def made() -> BuiltLake:
        folder = tempfile.mkdtemp(prefix="financelake-made-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return make(Path(folder) / "data")

    return lambda folder: made().copied_to(folder)


@made_once
def three_batches(folder: Path) -> BuiltLake:
    """Create partition 0 with ticks 0 to 9, bad 10, ticks 11 to 15; partition 1 with good 0, bad 1 and 2."""
    built = BuiltLake(folder, partitions=2)
    built.store([*numbered(10), BAD])
    built.store([GOOD, BAD, BAD], partition=1)
    built.store(numbered(5, first=10))
    return built
