"""The sink stores each batch once, even if a part of it is stored already."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from finance_job import transaction
from finance_job.direct_reader import DirectReader
from finance_job.guard import open_lake
from finance_job.records import RECORD_FIELDS
from finance_job.sink import BatchSummary, MisplacedBatchError, Sink, StoppingError
from finance_job.writer import FencedError, Writer
from finance_kafka.describe import TopicDescription
from finance_kafka.offsets import OffsetRange
from finance_storage import digest
from finance_storage.delta_table import committed_offsets, newest_metadata
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from finance_job.records import RangeReader, Ranges
    from finance_job.worker_task import WorkerTask
    from finance_storage.data_file import WrittenFile

pytestmark = pytest.mark.spark

GOOD = b'{"symbol": "AAPL", "price": 174.5}'
BAD = b'{"symbol": "AAPL", "price": "174.5"}'
ANY: Any = None  # the direct reader does not use the DataFrame
BROKER = TopicDescription("the-cluster", "the-topic", {0: 0}, {0: 0})


class FakeReader:
    """A reader of a fake topic; the test plans the batches in place of Spark."""

    def __init__(self, lake: Lake, topic: RangeReader | None) -> None:
        self._lake = lake
        self._topic = topic

    def ranges(self) -> Ranges:
        return {0: self._lake.planned}

    def read(self, ranges: Ranges, batch: DataFrame | None, task: WorkerTask) -> list[WrittenFile]:
        return DirectReader(self._lake.spark, self._topic or self._lake.topic()).read(ranges, batch, task)


class Lake:
    """A lake and a fake topic, without a stream."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.paths = LakePaths(root)
        self.identity = open_lake(self.paths, "finance", BROKER)
        self.summaries: list[BatchSummary] = []
        self.values: list[bytes | None] = []
        self.planned = OffsetRange(0, 0)

    def plan(self, values: Sequence[bytes | None]) -> None:
        self.planned = OffsetRange(len(self.values), len(self.values) + len(values))
        self.values += values

    def new_sink(self, topic: RangeReader | None = None) -> Sink:
        writer = Writer(self.paths, self.identity)
        return Sink(self.paths, writer, FakeReader(self, topic), self.summaries.append)

    def topic(self) -> RangeReader:
        arrived = datetime(2026, 11, 24, 12, tzinfo=UTC)
        rows = [
            {"key": b"AAPL", "value": value, "partition": 0, "offset": offset, "timestamp": arrived}
            for offset, value in enumerate(self.values)
        ]

        def read(ranges: Ranges) -> Iterator[pa.RecordBatch]:
            yield pa.RecordBatch.from_pylist(rows[ranges[0].start : ranges[0].end], RECORD_FIELDS)

        return read

    def rows(self, table: str) -> pa.Table:
        return DeltaTable(str(self.paths.table(table))).to_pyarrow_table()

    def offsets(self) -> list[int]:
        tables = [self.rows(name).column("kafka_offset").to_pylist() for name in ("ticks", "quarantine")]
        return sorted(offset for offsets in tables for offset in offsets)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path)


def test_a_batch_is_stored_in_both_tables_with_commit_metadata(lake: Lake) -> None:
    lake.plan([GOOD, BAD, None, GOOD])

    lake.new_sink()(ANY, 0)

    assert lake.rows("ticks").column("kafka_offset").to_pylist() == [0, 3]
    assert lake.rows("quarantine").column("reason").to_pylist() == ["price_type", "tombstone"]
    (summary,) = lake.summaries
    assert (summary.offsets, summary.ticks, summary.quarantined) == (4, 2, 2)
    metadata = newest_metadata(DeltaTable(str(lake.paths.ticks)), lake.paths.ticks)
    assert metadata is not None
    assert (metadata.lake, metadata.epoch, metadata.sequence, metadata.rows) == (lake.identity.lake, 1, 2, {0: 2})
    assert committed_offsets(lake.paths.ticks) == {0: 4}


def test_the_digest_of_a_commit_is_that_of_its_rows(lake: Lake) -> None:
    lake.plan([GOOD, BAD, b'{"symbol":"MSFT","price":1.25,"size":7,"ts_event":1764000000123456789,"seq":4,"source":"s"}'])

    lake.new_sink()(ANY, 0)

    for table in ("ticks", "quarantine"):
        metadata = newest_metadata(DeltaTable(str(lake.paths.table(table))), lake.paths.table(table))
        rows = lake.rows(table)
        assert metadata is not None
        assert metadata.digest == digest.to_text(digest.digest_of(rows))


def test_a_batch_that_does_not_begin_at_the_position_is_refused(lake: Lake) -> None:
    lake.plan([GOOD, BAD])
    lake.new_sink()(ANY, 0)

    with pytest.raises(MisplacedBatchError, match="from offset 0, the table is at 2"):
        lake.new_sink()(ANY, 0)

    assert lake.offsets() == [0, 1]


def half_committed(lake: Lake, values: Sequence[bytes | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Commit a batch to the quarantine and die before the commit to ticks."""
    commit = Writer.commit

    def die_at_ticks(writer: Writer, name: str, *rest: Any, **named: Any) -> int:  # noqa: ANN401
        if name == "ticks":
            raise KeyboardInterrupt
        return commit(writer, name, *rest, **named)

    lake.plan(values)
    with monkeypatch.context() as killed:
        killed.setattr(Writer, "commit", die_at_ticks)
        with pytest.raises(KeyboardInterrupt):
            lake.new_sink()(ANY, 0)


def test_a_batch_that_only_the_quarantine_has_is_completed_first(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    half_committed(lake, [GOOD, BAD, GOOD, BAD], monkeypatch)
    assert lake.offsets() == [1, 3]
    sink = lake.new_sink()

    finished = sink.finish()

    assert finished is not None
    assert (finished.ticks, finished.quarantined) == (2, 0)
    assert lake.offsets() == [0, 1, 2, 3]
    assert sink.finish() is None
    lake.plan([GOOD])
    sink(ANY, 0)
    assert lake.offsets() == [0, 1, 2, 3, 4]


def test_changed_rules_put_each_record_of_a_half_batch_into_one_table(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    half_committed(lake, [GOOD, BAD, GOOD, BAD], monkeypatch)
    # The new rules accept the record at offset 3, which was malformed, and reject the one at offset 2, which was good.
    lake.values[2], lake.values[3] = BAD, GOOD

    lake.new_sink().finish()

    assert lake.rows("ticks").column("kafka_offset").to_pylist() == [0]
    assert sorted(lake.rows("quarantine").column("kafka_offset").to_pylist()) == [1, 2, 3]
    assert open_lake(lake.paths, "finance", TopicDescription("the-cluster", "the-topic", {0: 0}, {0: 4})) == lake.identity


def test_the_error_of_a_failed_batch_is_kept(lake: Lake) -> None:
    lake.plan([GOOD])
    sink = lake.new_sink()
    lake.new_sink()  # another driver
    with pytest.raises(FencedError) as raised:
        sink(ANY, 0)
    assert sink.error is raised.value
    assert lake.offsets() == []


def test_a_batch_without_good_records_still_commits_to_ticks(lake: Lake) -> None:
    lake.plan([BAD, BAD])

    lake.new_sink()(ANY, 0)

    assert committed_offsets(lake.paths.ticks) == {0: 2}
    assert lake.rows("ticks").num_rows == 0
    assert lake.rows("quarantine").num_rows == 2


def test_a_batch_without_bad_records_does_not_commit_to_the_quarantine(lake: Lake) -> None:
    lake.plan([GOOD])

    lake.new_sink()(ANY, 0)

    assert DeltaTable(str(lake.paths.quarantine)).version() == 1  # its creation and the driver's epoch


def test_all_rows_of_a_batch_have_the_time_when_it_began(lake: Lake) -> None:
    lake.plan([GOOD, BAD, GOOD])

    before = datetime.now(UTC)
    lake.new_sink()(ANY, 0)

    times = {time for table in ("ticks", "quarantine") for time in lake.rows(table).column("ingested_at").to_pylist()}
    assert len(times) == 1
    assert before - timedelta(milliseconds=1) <= times.pop() <= datetime.now(UTC)


def test_a_batch_with_more_records_than_its_plan_is_refused_and_commits_nothing(lake: Lake) -> None:
    lake.plan([GOOD])
    topic = lake.topic()

    def twice(ranges: Ranges) -> Iterator[pa.RecordBatch]:
        yield from topic(ranges)
        yield from topic(ranges)

    sink = lake.new_sink(twice)

    with pytest.raises(RuntimeError, match=r"2 records .* 1 offset"):
        sink(ANY, 0)

    assert lake.offsets() == []


def test_a_batch_after_the_stop_is_refused(lake: Lake) -> None:
    lake.plan([GOOD])
    sink = lake.new_sink()
    sink.stop_accepting()

    with pytest.raises(StoppingError):
        sink(ANY, 0)

    assert lake.offsets() == []


def test_spark_reads_what_the_workers_wrote(lake: Lake) -> None:
    lake.plan([GOOD, b'{"symbol":"IBM","price":0.00000001,"ts_event":1764000000123456789}'])
    lake.new_sink()(ANY, 0)

    table = lake.spark.read.format("delta").load(str(lake.paths.ticks))

    assert [row.price for row in table.orderBy("kafka_offset").collect()] == [Decimal("174.5"), Decimal("0.00000001")]
    assert table.filter("symbol = 'IBM' and ts_event >= timestamp'2025-11-24T16:00:00.123456Z'").count() == 1
    assert table.filter("ts_event > timestamp'2025-11-24T16:00:00.123456Z'").filter("symbol = 'IBM'").count() == 0
    history = lake.spark.sql(f"describe history delta.`{lake.paths.ticks}`").first()
    assert history is not None
    assert json.loads(history["userMetadata"])["sequence"] == 2


def test_the_tables_need_no_newer_reader(lake: Lake) -> None:
    for table in (lake.paths.ticks, lake.paths.quarantine):
        protocol = DeltaTable(str(table)).protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        assert not protocol.reader_features


def test_spark_and_the_sink_read_a_log_checkpoint(lake: Lake) -> None:
    sink = lake.new_sink()
    for batch in range(2):
        lake.plan([GOOD])
        sink(ANY, batch)
    transaction.write_log_checkpoint(lake.paths.ticks, 3)
    for entry in (lake.paths.ticks / "_delta_log").glob("*[012].json"):
        entry.unlink()

    lake.plan([GOOD])
    lake.new_sink()(ANY, 2)

    assert lake.offsets() == [0, 1, 2]
    assert lake.spark.read.format("delta").load(str(lake.paths.ticks)).count() == 3
