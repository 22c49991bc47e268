"""Lakes made in milliseconds, for tests: what job and Spark write, without a JVM, by the job's own decoding and file writing.

The commits are deltalake's and the checkpoint's files are written here, in the formats that the tests in tests/spark and
tests/stack see Spark write and read.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.transaction import AddAction, RemoveAction

from finance_contract import CONTRACT_VERSION
from finance_job.data_file import DataFile, rows_of
from finance_job.tables import PARTITIONS, create_tables
from finance_job.write import Task
from finance_lake.state import digest
from finance_lake.state.accounting import Broker
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.identity import Identity, write_identity
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.record import CommitRecord, OffsetRange, Total
from finance_lake.state.table import newest_record

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TOPIC = "finance"
QUERY = "11111111-2222-3333-4444-555555555555"
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
    """Make ticks as a producer does: numbered, each with a price of its own."""
    return [
        json.dumps({"symbol": "AAPL", "price": 100 + number / 100, "seq": number, "source": source}).encode()
        for number in range(first, first + count)
    ]


class BuiltLake:
    """A lake that the test fills batch by batch, with a broker that exists in its mind only."""

    def __init__(self, root: Path, *, partitions: int = 1) -> None:
        """Let it be born, with empty tables."""
        self.layout = Layout(root)
        self.checkpoint = Checkpoint(self.layout.checkpoint)
        self.ends = dict.fromkeys(range(partitions), 0)
        self.batch = -1
        self.arrived = ARRIVED
        self.identity = Identity("the-cluster", TOPIC, "the-topic", QUERY, dict(self.ends), "2026-11-24T12:00:00+00:00")
        write_identity(self.layout.identity, self.identity)
        self.checkpoint.begin(QUERY, TOPIC, self.ends)
        create_tables(self.layout)

    @property
    def broker(self) -> Broker:
        """A broker that has all that was stored, and no more."""
        first = dict.fromkeys(self.ends, 0)
        return Broker(self.identity.cluster, self.identity.topic_id, first, dict(self.ends))

    def store(self, values: Sequence[bytes | None], partition: int = 0) -> int:
        """Plan, store and close a batch; return its id."""
        start = self.plan(len(values), partition)
        files = self.write(values, partition, start)
        self.commit(QUARANTINE, files)
        self.commit(TICKS, files)
        self.close()
        return self.batch

    def plan(self, count: int, partition: int = 0) -> int:
        """Write the next batch into the write-ahead log; return where it begins."""
        start = self.ends[partition]
        self.plan_all({partition: count})
        return start

    def plan_all(self, counts: dict[int, int]) -> None:
        """Plan a batch with records of several partitions."""
        self.batch += 1
        self.spans = {number: OffsetRange(end, end + counts.get(number, 0)) for number, end in self.ends.items()}
        self.ends = {number: span.end for number, span in self.spans.items()}
        plan = json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": 1_764_000_000_000 + self.batch})
        ends = json.dumps({TOPIC: {str(number): end for number, end in self.ends.items()}})
        self._file("offsets", f"v1\n{plan}\n{ends}")

    def write(self, values: Sequence[bytes | None], partition: int, start: int) -> list[DataFile]:
        """Write the batch's data files."""
        rows = [
            {"key": b"AAPL", "value": value, "partition": partition, "offset": start + index, "timestamp": self.arrived}
            for index, value in enumerate(values)
        ]
        task = Task({name: str(self.layout.table(name)) for name in (TICKS, QUARANTINE)}, 1_764_000_000_000 + self.batch)
        return list(task.files(iter([pa.RecordBatch.from_pylist(rows, RECORDS)])))

    def commit(self, name: str, files: Sequence[DataFile], contract: int = CONTRACT_VERSION, holes: int = 0) -> None:
        """Commit what the files have for one table, as the sink does."""
        files = [file for file in files if file.table == name]
        if name == QUARANTINE and not files:
            return
        rows = rows_of(files)
        of_rows = digest.add([file.digest for file in files])
        before = newest_record(DeltaTable(str(self.layout.table(name))))
        total = (before.total if before else Total()).plus(sum(rows.values()), of_rows, holes)
        position = {number: span.end for number, span in self.spans.items()}
        redrives = before.redrives if before else 0
        text = digest.to_text(of_rows)
        record = CommitRecord(contract, QUERY, self.batch, self.spans, rows, text, position, total, redrives)
        self.append(name, files, record, Transaction(f"{QUERY}:{name}", self.batch))

    def append(
        self, name: str, files: Sequence[DataFile], record: CommitRecord | None, transaction: Transaction | None
    ) -> None:
        """Commit files, with or without a record and a transaction."""
        table = DeltaTable(str(self.layout.table(name)))
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
        properties = CommitProperties(
            custom_metadata={"userMetadata": record.encode()} if record else None,
            app_transactions=[transaction] if transaction else None,
        )
        table.create_write_transaction(actions, "append", table.schema(), PARTITIONS[name], commit_properties=properties)

    def close(self) -> None:
        """Let Spark close the batch."""
        self._file("commits", "v1\n{}")

    def files(self, name: str) -> list[Path]:
        """Give the live data files of a table."""
        table = DeltaTable(str(self.layout.table(name)))
        return [self.layout.table(name) / path for path in pa.table(table.get_add_actions()).column("path").to_pylist()]

    def _file(self, folder: str, content: str) -> None:
        path = self.layout.checkpoint / folder / str(self.batch)
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
