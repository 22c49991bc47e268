"""A columnar peer: kafkarrow returns Arrow batches, pyarrow parses their JSON, deltalake appends.

Like the hand-written loop it commits every 50,000 ticks with its own transaction number and reopens the table every hundred
commits. kafkarrow stores no offsets, so it cannot resume after a crash. It verifies nothing.

    python -m bench.peers.kafkarrow_loop BOOTSTRAP TOPIC FOLDER PARTITION:END[,PARTITION:END...]
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from kafkarrow import ConsumerManager, SourceTopic

from bench.peers.loop import COMMITS_PER_TABLE, FIELDS, TICKS_A_COMMIT, UTC_MICROSECONDS

TICK = pa.schema([FIELDS.field(name) for name in ("symbol", "price", "size", "seq", "source")]).append(
    pa.field("ts_event", pa.int64())
)
PARSING = pyarrow.json.ParseOptions(explicit_schema=TICK, unexpected_field_behavior="ignore")


def take(consumer: ConsumerManager, ticks: int) -> pa.RecordBatch:
    """Poll until there are `ticks` records; one poll returns what has been fetched, often fewer."""
    batches = [consumer.poll(1000)]
    while sum(map(len, batches)) < ticks:
        batches.append(consumer.poll(1000))
    return pa.concat_batches(batches)


def columns(batch: pa.RecordBatch) -> pa.Table:
    """Parse all values of a batch in one call into the table's columns."""
    lines = pc.binary_join(pa.ListArray.from_arrays([0, len(batch)], batch["value"]), b"\n")[0].as_buffer()
    reading = pyarrow.json.ReadOptions(use_threads=False, block_size=lines.size + 1)
    ticks = pyarrow.json.read_json(pa.BufferReader(lines), reading, PARSING)
    arrived = batch["timestamp"].cast(UTC_MICROSECONDS)
    return (
        pa.table(
            {
                **{name: ticks[name] for name in ("symbol", "price", "size", "seq", "source")},
                "ts_event": pc.divide(ticks["ts_event"], 1000).cast(UTC_MICROSECONDS),
                "kafka_partition": batch["partition"],
                "kafka_offset": batch["offset"],
                "kafka_timestamp": arrived,
                "date": arrived.cast(pa.date32()),
            }
        )
        .select(FIELDS.names)
        .cast(FIELDS)
    )


def main() -> None:
    """Drain the topic up to the given offsets, which must be its ends because kafkarrow itself has no limit."""
    bootstrap, topic, folder, ends = sys.argv[1:]
    consumer = ConsumerManager(
        {"bootstrap.servers": bootstrap, "fetch.queue.backoff.ms": "5"}, [SourceTopic.from_earliest(topic)], TICKS_A_COMMIT
    )
    table = DeltaTable.create(folder, FIELDS, partition_by=["date"])
    left, batch = sum(int(place.split(":")[1]) for place in ends.split(",")), 0
    while left:
        ticks = columns(take(consumer, min(TICKS_A_COMMIT, left)))
        transaction = CommitProperties(app_transactions=[Transaction("kafkarrow", batch)])
        write_deltalake(table, ticks, mode="append", commit_properties=transaction)
        left -= len(ticks)
        batch += 1
        if batch % COMMITS_PER_TABLE == 0:
            table = DeltaTable(folder)


if __name__ == "__main__":
    main()
