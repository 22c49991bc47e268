"""`--values`: the rows compared with the topic's records."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from finance_contract.examples import malformed, valid
from finance_job.decode import decode_records
from finance_kafka.range_reader import Record
from finance_storage.paths import QUARANTINE
from finance_storage.schemas import QUARANTINE_FIELDS, TICK_FIELDS
from finance_verify.context import VerifyContext
from finance_verify.values import QUARANTINED, as_rows
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.lakes import ARRIVED, BAD, GOOD, RECORDS, TOPIC, BuiltLake, numbered
from tests.support.tampering import at, found, judge, rewrite, set_column

if TYPE_CHECKING:
    from pathlib import Path

ARRIVED_MS = round(1000 * ARRIVED.timestamp())
VALUES = [*valid().values(), *malformed().values()]


def records(values: list[bytes | None], partition: int = 0, first: int = 0, key: bytes | None = b"AAPL") -> list[Record]:
    return [Record(partition, first + place, ARRIVED_MS, key, value) for place, value in enumerate(values)]


def topic_of_lake() -> list[Record]:
    """Return the records that the fixture's lake was made from."""
    return records([*numbered(10), BAD, *numbered(5, first=10)]) + records([GOOD, BAD, BAD], partition=1)


def test_rows_that_match_the_topic_are_complete(lake: BuiltLake) -> None:
    report = judge(lake, records=topic_of_lake())
    assert report.findings == ()
    assert any("19 records were read from the topic again" in note for note in report.notes)


def test_rows_that_arrived_after_the_topics_ends_were_read_are_not_an_alteration(lake: BuiltLake) -> None:
    answers = [lake.broker]
    lake.store(numbered(5, first=15))
    answers += [lake.broker] * 2
    context = VerifyContext(TOPIC, lambda: answers.pop(0), lambda *_: [topic_of_lake()], patience_seconds=0)
    assert verify(lake.paths, context).findings == ()


def test_every_example_of_the_contract_becomes_the_expected_row(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.store(VALUES)
    assert judge(lake, records=records(VALUES)).findings == ()


@pytest.mark.parametrize("key", [None, b"", b"AAPL", b"x" * 70_000])
def test_expected_rows_equal_those_of_the_job(key: bytes | None) -> None:
    expected = [rows.to_pylist() for rows in as_rows(records(VALUES, key=key), TICK_FIELDS, pa.schema(QUARANTINE_FIELDS))]
    kafka = [
        {"key": key, "value": value, "partition": 0, "offset": place, "timestamp": ARRIVED}
        for place, value in enumerate(VALUES)
    ]
    job = decode_records(pa.RecordBatch.from_pylist(kafka, RECORDS), pa.scalar(ARRIVED, RECORDS.field("timestamp").type))
    ignored = {"ingested_at", "detail"}
    for ours, jobs in zip(expected, (job.ticks.to_pylist(), job.quarantine.to_pylist()), strict=True):
        compared = [[{name: row[name] for name in ours[0] if name not in ignored} for row in table] for table in (ours, jobs)]
        assert compared[0] == compared[1]
    assert set(QUARANTINED) == set(QUARANTINE_FIELDS.names) - ignored


@pytest.mark.parametrize(
    ("offset", "change"),
    [
        (3, {"value": b'{"symbol": "AAPL", "price": 103.04, "seq": 3, "source": "sim-1"}'}),
        (3, {"timestamp_ms": ARRIVED_MS + 1}),
        (3, {"value": BAD}),
        (10, {"value": GOOD}),
        (10, {"value": BAD + b" "}),
        (10, {"key": b"MSFT"}),
    ],
)
def test_a_row_that_differs_from_its_record_is_altered(lake: BuiltLake, offset: int, change: dict[str, Any]) -> None:
    topic = [
        record._replace(**change) if (record.partition, record.offset) == (0, offset) else record for record in topic_of_lake()
    ]
    assert judge(lake).findings == ()
    report = judge(lake, records=topic)
    assert report.code is Code.ALTERED
    assert found(report) == {Code.ALTERED: {0: [(offset, offset)]}}


def test_the_detail_of_a_malformed_record_is_not_compared(lake: BuiltLake) -> None:
    def reword(rows: pa.Table) -> pa.Table:
        mask = at(rows, 1, 1).to_pylist()
        details = rows.column("detail").to_pylist()
        return set_column(rows, "detail", ["other words" if is_at else old for is_at, old in zip(mask, details, strict=True)])

    rewrite(lake, QUARANTINE, reword)
    report = judge(lake, records=topic_of_lake())
    assert not any("topic" in finding.what for finding in report.findings)
    assert found(report) == {Code.ALTERED: {1: [(0, 2)]}}  # by the digests


def test_a_row_where_the_topic_has_no_record_is_altered(lake: BuiltLake) -> None:
    report = judge(lake, records=[record for record in topic_of_lake() if (record.partition, record.offset) != (0, 7)])
    assert found(report) == {Code.ALTERED: {0: [(7, 7)]}}
    assert "the topic has no record" in report.findings[0].what


def test_records_removed_by_retention_are_not_compared(lake: BuiltLake) -> None:
    broker = replace(lake.broker, first={0: 12, 1: 3})
    report = judge(
        lake, broker, records=[record for record in topic_of_lake() if record.partition == 0 and record.offset >= 12]
    )
    assert report.findings == ()
