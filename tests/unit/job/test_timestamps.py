"""Timestamps set by clients: those out of range are quarantined, and any valid date creates no partition of its own."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from finance_contract import TIMESTAMPS_MS, bad_timestamp
from finance_job.decode import decode_records
from finance_job.records import RECORD_FIELDS, as_batch
from finance_job.transaction import Change
from finance_job.worker_task import WorkerTask
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import Messages, Record
from finance_lake.lake import Lake
from finance_lake.quarantine import quarantined
from finance_storage.paths import QUARANTINE, TICKS
from finance_verify.verdict import Code
from tests.support.lakes import BAD, GOOD, BuiltLake
from tests.support.tampering import judge

if TYPE_CHECKING:
    from pathlib import Path

    from finance_storage.data_file import WrittenFile

INGESTED = datetime(2026, 11, 27, 12, tzinfo=UTC)
NOW_MS = 1_764_000_000_000
BEFORE = "before 1970, or none"
# Timestamps in milliseconds, and the detail for those that are out of range.
NASTY = {
    "now": (NOW_MS, None),
    "first": (TIMESTAMPS_MS[0], None),
    "last": (TIMESTAMPS_MS[-1], None),
    "too early": (TIMESTAMPS_MS[0] - 1, "946684799999 ms since 1970"),
    "too late": (TIMESTAMPS_MS[-1] + 1, "4102444800000 ms since 1970"),
    "seconds": (NOW_MS // 1000, "1764000000 ms since 1970"),
    "microseconds": (NOW_MS * 1000, "1764000000000000 ms since 1970"),
    "nanoseconds": (NOW_MS * 10**6, "later than any calendar"),
    "zero": (0, "0 ms since 1970"),
    "none": (-1, BEFORE),
    "before 1582": (-(10**14), BEFORE),
    "the most that microseconds count to": ((2**63 - 1) // 1000, "later than any calendar"),
    "the most": (2**63 - 1, "later than any calendar"),
    "the least": (-(2**63), BEFORE),
}


class Message(NamedTuple):
    """The part of a confluent_kafka.Message that the job reads."""

    kind: int
    milliseconds: int
    content: bytes

    def timestamp(self) -> tuple[int, int]:
        return self.kind, self.milliseconds

    def key(self) -> bytes:
        return b"AAPL"

    def value(self) -> bytes:
        return self.content


def batch(*messages: Message) -> pa.RecordBatch:
    count = len(messages)
    return as_batch(Messages(list(messages), np.zeros(count, np.int64), np.arange(count, dtype=np.int64)))  # type: ignore[arg-type]


def by_client(milliseconds: int, value: bytes = GOOD) -> Message:
    return Message(TIMESTAMP_CREATE_TIME, milliseconds, value)


@pytest.mark.parametrize(("milliseconds", "detail"), NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("kind", [TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, TIMESTAMP_NOT_AVAILABLE])
@pytest.mark.parametrize("neighbours", [0, 1, 3000])
def test_each_record_is_in_one_table_whatever_its_timestamp(
    milliseconds: int, detail: str | None, kind: int, neighbours: int
) -> None:
    plain = [Message(TIMESTAMP_LOG_APPEND_TIME, NOW_MS, GOOD)] * neighbours
    records = batch(*plain, Message(kind, milliseconds, GOOD), *plain)
    ticks, quarantine = decode_records(records, pa.scalar(INGESTED))
    assert ticks.num_rows + quarantine.num_rows == 2 * neighbours + 1
    assert quarantine.num_rows == (detail is not None)
    if detail is None:
        assert ticks.column("kafka_timestamp")[neighbours].as_py().timestamp() * 1000 == milliseconds
    else:
        (row,) = quarantine.to_pylist()
        assert (row["reason"], row["detail"], row["kafka_timestamp"]) == ("timestamp_range", detail, None)
        assert (row["value"], row["kafka_offset"]) == (GOOD, neighbours)


def test_a_malformed_value_keeps_its_reason() -> None:
    (row,) = decode_records(batch(by_client(-1, BAD)), pa.scalar(INGESTED)).quarantine.to_pylist()
    assert (row["reason"], row["kafka_timestamp"]) == ("price_type", None)


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 2 * 10**15), max_size=8))
def test_every_timestamp_can_be_decoded(milliseconds: list[int]) -> None:
    ticks, quarantine = decode_records(batch(*map(by_client, milliseconds)), pa.scalar(INGESTED))
    assert ticks.num_rows == sum(moment in TIMESTAMPS_MS for moment in milliseconds)
    odd = [bad_timestamp(moment).detail for moment in milliseconds if moment not in TIMESTAMPS_MS]
    assert quarantine.column("detail").to_pylist() == odd


# ---- in a lake ----------------------------------------------------------------------------------------------------------


def stored(lake: BuiltLake, *messages: Message) -> list[WrittenFile]:
    """Store messages as a batch of partition 0."""
    lake.plan(len(messages))
    task = WorkerTask({name: lake.paths.table(name) for name in (TICKS, QUARANTINE)}, round(INGESTED.timestamp() * 1000))
    files = list(task.files(iter([batch(*messages)])))
    for name in (QUARANTINE, TICKS):
        lake.writer.commit(name, Change.of([file for file in files if file.table == name], {0: OffsetRange(0, len(messages))}))
    return files


def test_a_century_of_client_timestamps_is_one_partition(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    days = [by_client(TIMESTAMPS_MS[0] + 86_400_000 * day) for day in range(0, 36_000, 10)]
    files = stored(lake, *days, Message(TIMESTAMP_LOG_APPEND_TIME, NOW_MS, GOOD))
    assert sorted(file.partition_values["date"] for file in files) == ["2025-11-24", "2026-11-27"]
    assert judge(lake).findings == ()
    (path,) = (path for path in lake.files(TICKS) if "date=2026" in str(path))
    elsewhere = path.parents[1] / "date=2026-11-28"
    elsewhere.mkdir()
    path.rename(elsewhere / path.name)
    for entry in (lake.paths.ticks / "_delta_log").glob("*.json"):
        entry.write_text(
            entry.read_text().replace("2026-11-27/", "2026-11-28/").replace('"date":"2026-11-27"', '"date":"2026-11-28"')
        )
    report = judge(lake)
    assert report.code is Code.ALTERED
    assert "3,600 rows of finance_delta have a `date` that is not" in str(report.findings[0])


def test_odd_timestamps_are_verified_counted_and_shown(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    messages = [by_client(milliseconds) for milliseconds, _ in NASTY.values()]
    stored(lake, *messages)
    records = [Record(0, number, message.milliseconds, b"AAPL", GOOD) for number, message in enumerate(messages)]
    report = judge(lake, records=records)
    assert report.findings == ()
    odd = sum(detail is not None for _, detail in NASTY.values())
    assert (report.figures.rows, report.figures.quarantined) == (len(NASTY) - odd, odd)
    quarantine = quarantined(lake.paths, 1)
    assert quarantine.counts == {"timestamp_range": odd}
    assert quarantine.samples[0].arrived.startswith("2026-11-27T12:00")
    with Lake(tmp_path) as reader:
        assert reader.quarantine(limit=3).arrow.num_rows == 3
        assert {row["date"] for row in reader.ticks().arrow.to_pylist()} == {date(2026, 11, 27)}
    assert DeltaTable(str(lake.paths.quarantine)).to_pyarrow_table().column("kafka_timestamp").null_count == odd


def test_records_without_from_client_count_as_the_brokers() -> None:
    row = {"value": GOOD, "partition": 0, "offset": 0, "timestamp": INGESTED - timedelta(days=3)}
    records = pa.RecordBatch.from_pylist([row], RECORD_FIELDS)
    for variant in (records, records.drop_columns(["from_client"])):
        assert decode_records(variant, pa.scalar(INGESTED)).ticks.column("date").to_pylist() == [date(2026, 11, 24)]
