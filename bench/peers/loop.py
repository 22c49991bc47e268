"""The hand-written loop: what a good engineer would write instead of this project, with confluent-kafka, msgspec and deltalake.

It decodes with msgspec, commits the batch's number as a Delta transaction, and reopens the table every hundred commits, so that
its cost does not grow. It checks records less strictly than the contract does and verifies nothing.

    python -m bench.peers.loop BOOTSTRAP TOPIC FOLDER PARTITION:END[,PARTITION:END...]
"""

from __future__ import annotations

import sys
from decimal import Decimal  # noqa: TC003 (msgspec reads the annotations)
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
from confluent_kafka import Consumer, Message, TopicPartition
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

if TYPE_CHECKING:
    from collections.abc import Sequence

TICKS_A_COMMIT = 50_000
COMMITS_PER_TABLE = 100
UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")
FIELDS = pa.schema(
    {
        "symbol": pa.string(),
        "price": pa.decimal128(18, 8),
        "size": pa.int64(),
        "ts_event": UTC_MICROSECONDS,
        "seq": pa.int64(),
        "source": pa.string(),
        "kafka_partition": pa.int32(),
        "kafka_offset": pa.int64(),
        "kafka_timestamp": UTC_MICROSECONDS,
        "date": pa.date32(),
    }
)


class Tick(msgspec.Struct, gc=False):
    """A message value of the topic."""

    symbol: str
    price: Decimal
    size: int | None = None
    ts_event: int | None = None
    seq: int | None = None
    source: str | None = None


decode = msgspec.json.Decoder(Tick).decode


def columns(messages: Sequence[Message]) -> pa.Table:
    """Decode messages into the table's columns."""
    ticks = [decode(message.value() or b"") for message in messages]
    arrived = pa.array([message.timestamp()[1] * 1000 for message in messages], pa.int64()).cast(UTC_MICROSECONDS)
    return pa.table(
        {
            "symbol": [tick.symbol for tick in ticks],
            "price": [tick.price for tick in ticks],
            "size": [tick.size for tick in ticks],
            "ts_event": pa.array([tick.ts_event // 1000 if tick.ts_event else None for tick in ticks]).cast(UTC_MICROSECONDS),
            "seq": [tick.seq for tick in ticks],
            "source": [tick.source for tick in ticks],
            "kafka_partition": [message.partition() for message in messages],
            "kafka_offset": [message.offset() for message in messages],
            "kafka_timestamp": arrived,
            "date": arrived.cast(pa.date32()),
        },
        schema=FIELDS,
    )


def main() -> None:
    """Drain the topic up to the given offsets."""
    bootstrap, topic, folder, ends = sys.argv[1:]
    left = sum(int(place.split(":")[1]) for place in ends.split(","))
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "loop", "enable.auto.commit": False, "fetch.queue.backoff.ms": 5}
    )
    consumer.assign([TopicPartition(topic, int(place.split(":")[0]), 0) for place in ends.split(",")])
    table = DeltaTable.create(folder, FIELDS, partition_by=["date"])
    batch = 0
    while left:
        messages = consumer.consume(min(TICKS_A_COMMIT, left), timeout=1)
        if not messages:
            continue
        transaction = CommitProperties(app_transactions=[Transaction("loop", batch)])
        write_deltalake(table, columns(messages), mode="append", commit_properties=transaction)
        left -= len(messages)
        batch += 1
        if batch % COMMITS_PER_TABLE == 0:
            table = DeltaTable(folder)
    consumer.close()


if __name__ == "__main__":
    main()
