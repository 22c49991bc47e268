"""Both readers write the same tables, row for row; Spark's own figures are true if Spark reads."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from finance_contract import MAX_VALUE_BYTES, examples
from finance_job.batch_offsets import UnknownOffsetsError, batch_ranges
from finance_job.config import Settings
from finance_job.reader import Reader, reader_of
from finance_job.source import read_topic
from finance_job.worker_task import WorkerTask
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import OffsetOutOfRangeError
from finance_storage.data_file import rows_of
from finance_storage.delta_table import committed_offsets, open_table
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from tests.support.stack import free_port, wait_until
from tests.support.worker_memory import MAX_GROWTH_MB, growth_mb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

ADOPTED = 3000  # the lake's number of partition 0 of its topic
Value = TypeVar("Value")

GOOD = b'{"symbol":"AAPL","price":174.50,"size":100,"ts_event":1764000000000000001,"seq":1,"source":"sim-7"}'
MAX_MESSAGE_BYTES = 1_040_000
LONG_AGO_MS = 86_400_000
BATCH = re.compile(r"batch id=(\d+) rows=(\d+)")


def records() -> Iterator[tuple[bytes | None, bytes | None]]:
    """Yield keys and values of every kind, most of them good."""
    special = [
        *examples.malformed().values(),
        *examples.valid().values(),
        GOOD.ljust(MAX_VALUE_BYTES),  # the longest good value
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


def stored_by(stack: Stack, reader: str, **settings: str | float) -> LakePaths[Path]:
    """Store the topic up to its end in a new lake, with a reader; return the lake."""
    folder = stack.folder / reader
    job = stack.run("spark-job", DATA_DIR=str(folder), READER=reader, **settings)
    paths = LakePaths(folder)
    wait_until(lambda: is_stored(stack, paths), 180, lambda: f"all stored; {job.text()[-3000:]}")
    assert job.stop() == 0
    return paths


def is_stored(stack: Stack, paths: LakePaths) -> bool:
    return open_table(paths.ticks) is not None and committed_offsets(paths.ticks) == stack.end_offsets()


def rows(folder: Path) -> pa.Table:
    table = open_table(folder)
    assert table is not None
    content = table.to_pyarrow_table()
    return content.drop_columns(["ingested_at"]).sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])


def test_both_readers_store_the_same_rows(stack: Stack) -> None:
    publish(stack.make_topic())
    # Batches of a few hundred records, so that ranges begin and end in the middle of partitions.
    lakes = {reader: stored_by(stack, reader, MAX_OFFSETS_PER_TRIGGER=700) for reader in ("spark", "direct")}
    for table in (TICKS, QUARANTINE):
        by_spark, directly = (rows(lakes[reader].table(table)) for reader in ("spark", "direct"))
        assert by_spark.num_rows > 0
        assert by_spark.equals(directly)


def test_sparks_row_counts_are_those_that_the_job_logs(stack: Stack) -> None:
    publish(stack.make_topic())
    port = free_port()
    job = stack.run("spark-job", SPARK_UI_PORT=port, MAX_OFFSETS_PER_TRIGGER=1000)
    stack.wait_until_stored()
    end = sum(stack.end_offsets().values())

    def logged() -> dict[int, int]:
        return {int(batch): int(count) for batch, count in BATCH.findall(job.text())}

    wait_until(lambda: sum(logged().values()) == end, 30, lambda: job.text()[-3000:])
    shown = rows_by_batch(port, stack.topic)
    assert {batch: shown[batch] for batch in logged()} == logged()
    assert job.stop() == 0


def rows_by_batch(port: int, name: str) -> dict[int, int]:
    """Return from Spark's user interface the rows that each micro-batch of a query passed to the Python workers."""
    counts: dict[int, int] = {}
    for execution in executions(port):
        described = re.match(rf"{name}\n.*batch = (\d+)$", execution["description"], re.DOTALL)
        assert described, execution["description"]
        for node in execution["nodes"]:
            if node["nodeName"] == "Scan ExistingRDD":
                (count,) = (metric["value"] for metric in node["metrics"] if metric["name"] == "number of output rows")
                counts[int(described[1])] = int(count.replace(",", ""))
    return counts


def executions(port: int) -> list[dict[str, Any]]:
    (application,) = query_api(port, "")
    listed: list[dict[str, Any]] = query_api(port, f"/{application['id']}/sql?details=true&planDescription=false")
    return listed


def query_api(port: int, path: str) -> Any:  # noqa: ANN401
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/applications{path}") as response:
        return json.load(response)


def by_lake(values: Mapping[int, Value]) -> dict[int, Value]:
    """Return values of the topic's partitions by the partitions of a lake that has adopted three topics."""
    return {ADOPTED + number: value for number, value in values.items()}


def settings_of(stack: Stack, **settings: Any) -> Settings:  # noqa: ANN401
    return Settings(kafka_bootstrap=stack.bootstrap, kafka_topic=stack.topic, **settings)


def test_spark_exposes_the_ranges_of_each_batch_and_of_added_partitions(
    stack: Stack, spark: SparkSession, tmp_path: Path
) -> None:
    stack.make_topic().send([GOOD] * 500)
    reported: list[dict[int, OffsetRange]] = []
    seen: list[set[tuple[int, int]]] = []

    def look(batch: DataFrame, _: int) -> None:
        reported.append(batch_ranges(spark, ADOPTED))
        seen.append({(row.partition, row.offset) for row in batch.select("partition", "offset").collect()})

    begin = by_lake(dict.fromkeys(stack.end_offsets(), 0))
    stream = read_topic(spark, settings_of(stack, max_offsets_per_trigger=200), begin, ADOPTED).writeStream.foreachBatch(look)
    query = stream.option("checkpointLocation", str(tmp_path / "scratch")).trigger(processingTime="0 seconds").start()
    query.processAllAvailable()
    before = len(reported)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    admin.create_partitions([NewPartitions(stack.topic, 6)])[stack.topic].result(30)
    wait_until(lambda: len(stack.end_offsets()) == 6, 30, "the new partitions")
    producer = Producer({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    for number in range(60):
        producer.produce(stack.topic, GOOD, partition=number % 6)
    assert producer.flush(30) == 0
    wait_until(lambda: sum(map(len, seen)) == 560, 60, lambda: f"all records; the newest batch is {reported[-1]}")
    query.stop()

    for ranges, offsets in zip(reported, seen, strict=True):
        assert offsets == {(number, offset) for number, span in ranges.items() for offset in range(span.start, span.end)}
    assert before >= 3
    assert min(ranges[ADOPTED + 5].start for ranges in reported[before:]) == 0
    assert {number: span.end for number, span in reported[-1].items()} == by_lake(stack.end_offsets())


def test_outside_of_a_stream_there_are_no_ranges(spark: SparkSession) -> None:
    with pytest.raises(UnknownOffsetsError):
        batch_ranges(spark)


@pytest.fixture(params=["spark", "direct"])
def reader(request: pytest.FixtureRequest, stack: Stack, spark: SparkSession) -> Reader:
    return reader_of(spark, settings_of(stack, reader=request.param), ADOPTED)


def task_below(folder: Path) -> WorkerTask:
    return WorkerTask({table: folder / table for table in (TICKS, QUARANTINE)}, 1_764_000_000_000)


def test_a_range_is_read_outside_of_the_stream(stack: Stack, reader: Reader, tmp_path: Path) -> None:
    stack.make_topic().send([GOOD, b"malformed"] * 200)
    ranges = {number: OffsetRange(end // 3, end - 1) for number, end in by_lake(stack.end_offsets()).items() if end > 3}
    files = reader.read(ranges, None, task_below(tmp_path))
    assert rows_of(files) == {number: span.count for number, span in ranges.items()}
    assert {file.table for file in files} == {TICKS, QUARANTINE}


def test_removed_records_raise_a_typed_error(stack: Stack, reader: Reader, tmp_path: Path) -> None:
    stack.make_topic().send([GOOD] * 400)
    number, end = max(stack.end_offsets().items(), key=lambda pair: pair[1])
    admin = AdminClient({"bootstrap.servers": stack.bootstrap, "log_level": 0})
    for deleted in admin.delete_records([TopicPartition(stack.topic, number, end - 5)]).values():
        deleted.result(30)
    with pytest.raises(OffsetOutOfRangeError):
        reader.read(by_lake({number: OffsetRange(end - 10, end)}), None, task_below(tmp_path))


@pytest.mark.parametrize(("records", "length"), [(4000, MAX_VALUE_BYTES), (300, 1_000_000)])
def test_long_malformed_records_read_directly_take_bounded_memory(stack: Stack, records: int, length: int) -> None:
    stack.make_topic()
    producer = Producer({"bootstrap.servers": stack.bootstrap, "message.max.bytes": MAX_MESSAGE_BYTES, "log_level": 0})
    for _ in range(records):
        producer.produce(stack.topic, b"x" * length, partition=0)
        producer.poll(0.001)
    assert producer.flush(60) == 0
    assert growth_mb("direct", records, stack.bootstrap, stack.topic) < MAX_GROWTH_MB
