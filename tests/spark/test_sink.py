"""The sink stores each batch once, whatever of it has happened before."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from finance_job import sink as sink_module
from finance_job import transaction
from finance_job.direct_reader import DirectReader
from finance_job.records import FIELDS
from finance_job.sink import BatchSummary, Sink, StoppingError
from finance_job.tables import create_tables
from finance_lake.state import digest
from finance_lake.state.checkpoint import Checkpoint
from finance_lake.state.layout import Layout
from finance_lake.state.table import committed_offsets, newest_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import SparkSession

    from finance_job.records import RangeReader, Ranges

pytestmark = pytest.mark.spark

GOOD = b'{"symbol": "AAPL", "price": 174.5}'
BAD = b'{"symbol": "AAPL", "price": "174.5"}'
PLANNED_MS = 1_764_000_000_123
ANY: Any = None  # the sink asks Spark for no records


class Lake:
    """A lake without a stream: the test plays Spark, which plans batches in the checkpoint and hands them to the sink."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.layout = Layout(root)
        self.checkpoint = Checkpoint(self.layout.checkpoint)
        self.summaries: list[BatchSummary] = []
        self.values: dict[int, list[bytes | None]] = {}
        for folder in ("offsets", "sources/0"):
            (self.layout.checkpoint / folder).mkdir(parents=True)
        (self.layout.checkpoint / "metadata").write_text('{"id":"the-query"}')
        (self.layout.checkpoint / "sources/0/0").write_text('v1\n{"finance":{"0":0}}')
        create_tables(self.layout)

    def plan(self, batch: int, values: Sequence[bytes | None]) -> None:
        self.values[batch] = list(values)
        end = sum(map(len, self.values.values()))
        plan = json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": PLANNED_MS + batch})
        (self.layout.checkpoint / "offsets" / str(batch)).write_text(f'v1\n{plan}\n{{"finance":{{"0":{end}}}}}')

    def new_sink(self, topic: RangeReader | None = None) -> Sink:
        return Sink(self.layout, self.checkpoint, DirectReader(self.spark, topic or self.topic()), self.summaries.append)

    def topic(self) -> RangeReader:
        arrived = datetime(2026, 11, 24, 12, tzinfo=UTC)
        rows = [
            {
                "key": b"AAPL",
                "value": value,
                "value_length": None,
                "value_sha256": None,
                "partition": 0,
                "offset": offset,
                "timestamp": arrived,
            }
            for offset, value in enumerate(value for batch in sorted(self.values) for value in self.values[batch])
        ]

        def read(ranges: Ranges) -> Iterator[pa.RecordBatch]:
            yield pa.RecordBatch.from_pylist(rows[ranges[0].start : ranges[0].end], FIELDS)

        return read

    def rows(self, table: str) -> pa.Table:
        return DeltaTable(str(self.layout.table(table))).to_pyarrow_table()

    def offsets(self) -> list[int]:
        tables = [self.rows(name).column("kafka_offset").to_pylist() for name in ("ticks", "quarantine")]
        return sorted(offset for offsets in tables for offset in offsets)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(spark, tmp_path)


def test_a_batch_ends_in_its_two_tables_with_its_record(lake: Lake) -> None:
    lake.plan(0, [GOOD, BAD, None, GOOD])

    lake.new_sink()(ANY, 0)

    assert lake.rows("ticks").column("kafka_offset").to_pylist() == [0, 3]
    assert lake.rows("quarantine").column("reason").to_pylist() == ["price_type", "tombstone"]
    (summary,) = lake.summaries
    assert (summary.records, summary.ticks, summary.quarantined) == (4, 2, 2)
    record = newest_record(DeltaTable(str(lake.layout.ticks)))
    assert record is not None
    assert (record.query, record.batch, record.rows) == ("the-query", 0, {0: 2})
    assert committed_offsets(lake.layout.ticks) == {0: 4}


def test_the_digest_of_a_commit_is_that_of_its_rows(lake: Lake) -> None:
    lake.plan(0, [GOOD, BAD, b'{"symbol":"MSFT","price":1.25,"size":7,"ts_event":1764000000123456789,"seq":4,"source":"s"}'])

    lake.new_sink()(ANY, 0)

    for table in ("ticks", "quarantine"):
        record = newest_record(DeltaTable(str(lake.layout.table(table))))
        rows = lake.rows(table)
        assert record is not None
        assert record.digest == digest.to_text(digest.digest_of(rows))


def test_a_replayed_batch_is_skipped(lake: Lake) -> None:
    lake.plan(0, [GOOD, BAD])
    lake.new_sink()(ANY, 0)

    lake.new_sink()(ANY, 0)  # a new process, which has to ask the tables

    assert lake.offsets() == [0, 1]
    assert DeltaTable(str(lake.layout.ticks)).version() == 1


@pytest.mark.parametrize("already_committed", ["quarantine", "ticks"])
def test_a_batch_that_one_table_has_is_finished_in_the_other(
    lake: Lake, already_committed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.plan(0, [GOOD, BAD, GOOD])
    commit = transaction.commit

    def die_at_the_other(table: DeltaTable, name: str, *rest: Any) -> int:  # noqa: ANN401
        if name != already_committed:
            raise KeyboardInterrupt
        return commit(table, name, *rest)

    monkeypatch.setattr(transaction, "commit", die_at_the_other)
    if already_committed == "ticks":  # an order that the sink does not have; it must hold all the same
        monkeypatch.setattr(sink_module, "QUARANTINE", "ticks")
        monkeypatch.setattr(sink_module, "TICKS", "quarantine")
    with pytest.raises(KeyboardInterrupt):
        lake.new_sink()(ANY, 0)
    assert len(lake.offsets()) in (1, 2)
    monkeypatch.undo()

    lake.new_sink()(ANY, 0)

    assert lake.offsets() == [0, 1, 2]


def test_a_batch_without_a_good_record_still_closes_in_ticks(lake: Lake) -> None:
    lake.plan(0, [BAD, BAD])

    lake.new_sink()(ANY, 0)

    assert committed_offsets(lake.layout.ticks) == {0: 2}
    assert lake.rows("ticks").num_rows == 0
    assert lake.rows("quarantine").num_rows == 2


def test_a_batch_without_a_bad_record_leaves_the_quarantine_alone(lake: Lake) -> None:
    lake.plan(0, [GOOD])

    lake.new_sink()(ANY, 0)

    assert DeltaTable(str(lake.layout.quarantine)).version() == 0


def test_all_rows_of_a_batch_carry_the_time_it_was_planned(lake: Lake) -> None:
    lake.plan(0, [GOOD, BAD, GOOD])

    lake.new_sink()(ANY, 0)

    planned = datetime.fromtimestamp(PLANNED_MS / 1000, tz=UTC)
    for table in ("ticks", "quarantine"):
        assert set(lake.rows(table).column("ingested_at").to_pylist()) == {planned}


def test_a_batch_with_more_records_than_its_plan_is_refused_and_commits_nothing(lake: Lake) -> None:
    lake.plan(0, [GOOD])
    topic = lake.topic()

    def twice(ranges: Ranges) -> Iterator[pa.RecordBatch]:
        yield from topic(ranges)
        yield from topic(ranges)

    sink = lake.new_sink(twice)

    with pytest.raises(RuntimeError, match=r"2 records .* 1 offset"):
        sink(ANY, 0)

    assert lake.offsets() == []


def test_a_batch_after_the_stop_is_declined_and_not_taken_for_done(lake: Lake) -> None:
    lake.plan(0, [GOOD])
    sink = lake.new_sink()
    sink.decline_further_batches()

    with pytest.raises(StoppingError):
        sink(ANY, 0)

    assert lake.offsets() == []


def test_spark_reads_what_the_workers_wrote(lake: Lake) -> None:
    lake.plan(0, [GOOD, b'{"symbol":"IBM","price":0.00000001,"ts_event":1764000000123456789}'])
    lake.new_sink()(ANY, 0)

    table = lake.spark.read.format("delta").load(str(lake.layout.ticks))

    assert [row.price for row in table.orderBy("kafka_offset").collect()] == [Decimal("174.5"), Decimal("0.00000001")]
    assert table.filter("symbol = 'IBM' and ts_event >= timestamp'2025-11-24T16:00:00.123456Z'").count() == 1
    assert table.filter("ts_event > timestamp'2025-11-24T16:00:00.123456Z'").filter("symbol = 'IBM'").count() == 0
    history = lake.spark.sql(f"describe history delta.`{lake.layout.ticks}`").first()
    assert history is not None
    assert json.loads(history["userMetadata"])["batch"] == 0


def test_the_tables_ask_for_no_feature_of_newer_readers(lake: Lake) -> None:
    for table in (lake.layout.ticks, lake.layout.quarantine):
        protocol = DeltaTable(str(table)).protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)
        assert not protocol.reader_features


def test_a_table_with_a_checkpoint_of_its_log_is_one_that_spark_reads_and_the_sink_goes_on_with(lake: Lake) -> None:
    for batch in range(3):
        lake.plan(batch, [GOOD])
    sink = lake.new_sink()
    sink(ANY, 0)
    sink(ANY, 1)
    transaction.sum_up(lake.layout.ticks, 2)
    for entry in (lake.layout.ticks / "_delta_log").glob("*[01].json"):
        entry.unlink()

    fresh = lake.new_sink()
    fresh(ANY, 1)
    fresh(ANY, 2)

    assert lake.offsets() == [0, 1, 2]
    assert lake.spark.read.format("delta").load(str(lake.layout.ticks)).count() == 3
