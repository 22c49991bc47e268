"""Both readers give the same tables, row for row; Spark's own figures are true where Spark reads."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from finance_contract import MAX_VALUE_BYTES, examples
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from finance_lake.state.table import committed_offsets, open_table
from tests.stack.pipeline import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from tests.stack.pipeline import Stack

pytestmark = pytest.mark.stack

GOOD = b'{"symbol":"AAPL","price":174.50,"size":100,"ts_event":1764000000000000001,"seq":1,"source":"sim-7"}'
MAX_MESSAGE_BYTES = 1_040_000
LONG_AGO_MS = 86_400_000
BATCH = re.compile(r"batch id=(\d+) rows=(\d+)")


def records() -> Iterator[tuple[bytes | None, bytes | None]]:
    """Give keys and values of every kind, the good ones in the majority."""
    special = [
        *examples.malformed().values(),
        *examples.valid().values(),
        GOOD.ljust(MAX_VALUE_BYTES),  # as long as a good one may be
        GOOD.ljust(MAX_VALUE_BYTES + 1),  # its first 64 KiB are a good tick
        b"\xff" * (MAX_VALUE_BYTES + 40),
        b"x" * 1_000_000,
    ]
    for value in special:
        yield b"AAPL", value
        yield None, GOOD
    for key in (b"", b"k" * MAX_VALUE_BYTES, b"k" * (MAX_VALUE_BYTES + 1), b"\xff"):
        yield key, b"malformed"
        yield key, GOOD
    yield from ((b"MSFT", GOOD) for _ in range(3000))


def publish(stack: Stack) -> None:
    producer = Producer({"bootstrap.servers": stack.bootstrap, "message.max.bytes": MAX_MESSAGE_BYTES, "log_level": 0})
    for key, value in records():
        producer.produce(stack.topic, value, key, timestamp=LONG_AGO_MS)
        producer.poll(0)
    assert producer.flush(60) == 0


def stored_by(stack: Stack, reader: str, **settings: str | float) -> Layout:
    """Have a job read the topic to its end into a lake of its own."""
    folder = stack.folder / reader
    job = stack.run("spark-job", DATA_DIR=str(folder), READER=reader, **settings)
    layout = Layout(folder)
    wait_until(lambda: is_stored(stack, layout), 180, lambda: f"all stored; {job.text()[-3000:]}")
    assert job.stop() == 0
    return layout


def is_stored(stack: Stack, layout: Layout) -> bool:
    return open_table(layout.ticks) is not None and committed_offsets(layout.ticks) == stack.end_offsets()


def rows(folder: Path) -> pa.Table:
    table = open_table(folder)
    assert table is not None
    found = table.to_pyarrow_table()
    return found.drop_columns(["ingested_at"]).sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])


def test_both_readers_store_the_same_rows(stack: Stack) -> None:
    publish(stack.make_topic())
    # Batches of a few hundred records, so that ranges begin and end in the middle of partitions.
    lakes = {reader: stored_by(stack, reader, MAX_OFFSETS_PER_TRIGGER=700) for reader in ("spark", "direct")}
    for table in (TICKS, QUARANTINE):
        by_spark, directly = (rows(lakes[reader].table(table)) for reader in ("spark", "direct"))
        assert by_spark.num_rows > 0
        assert by_spark.equals(directly)


def test_what_spark_shows_of_the_stream_is_what_the_job_logs(stack: Stack) -> None:
    publish(stack.make_topic())
    port = free_port()
    job = stack.run("spark-job", SPARK_UI_PORT=port, MAX_OFFSETS_PER_TRIGGER=1000)
    stack.wait_until_stored()
    logged = {int(batch): int(count) for batch, count in BATCH.findall(job.text())}

    assert sum(logged.values()) == sum(stack.end_offsets().values())
    shown = rows_by_batch(port, stack.topic)
    assert {batch: shown[batch] for batch in logged} == logged
    assert job.stop() == 0


def rows_by_batch(port: int, name: str) -> dict[int, int]:
    """Ask Spark's user interface for the rows that each micro-batch of a query gave to the Python workers."""
    found: dict[int, int] = {}
    for execution in executions(port):
        described = re.match(rf"{name}\n.*batch = (\d+)$", execution["description"], re.DOTALL)
        assert described, execution["description"]
        for node in execution["nodes"]:
            if node["nodeName"] == "Scan ExistingRDD":
                (count,) = (metric["value"] for metric in node["metrics"] if metric["name"] == "number of output rows")
                found[int(described[1])] = int(count.replace(",", ""))
    return found


def executions(port: int) -> list[dict[str, Any]]:
    (application,) = answer(port, "")
    found: list[dict[str, Any]] = answer(port, f"/{application['id']}/sql?details=true&planDescription=false")
    return found


def answer(port: int, path: str) -> Any:  # noqa: ANN401
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/applications{path}") as response:
        return json.load(response)
