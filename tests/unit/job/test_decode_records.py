"""Decoding a batch: every record is in exactly one of the two results, with its coordinates and exact values."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_contract import MAX_VALUE_BYTES, Reason, Tick, encode, examples
from finance_contract.tick import EVENT_TIMES_NS
from finance_job.decode import Decoded, decode_records
from finance_storage.schemas import QUARANTINE_FIELDS, TICK_FIELDS, UTC_MICROSECONDS

GOOD = b'{"symbol": "AAPL", "price": 174.5}'
BAD = b'{"symbol": "AAPL", "price": "174.5"}'
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ARRIVED = datetime(2026, 11, 24, 23, 59, 59, 123000, tzinfo=UTC)
INGESTED = datetime(2026, 11, 25, 0, 0, 1, 7000, tzinfo=UTC)
FIRST_OFFSET = 2**40

Value = bytes | None


def kafka_records(values: Sequence[Value], keys: Sequence[Value] | None = None) -> pa.RecordBatch:
    """Return records as Spark passes them to a worker; every third is in partition 2, offsets start at FIRST_OFFSET."""
    rows = range(len(values))
    return pa.RecordBatch.from_arrays(
        [
            pa.array(keys or [b"AAPL"] * len(values), pa.binary()),
            pa.array(values, pa.binary()),
            pa.array([2 if row % 3 == 2 else 0 for row in rows], pa.int32()),
            pa.array([FIRST_OFFSET + row for row in rows], pa.int64()),
            pa.array([ARRIVED + timedelta(milliseconds=row) for row in rows], UTC_MICROSECONDS),
        ],
        names=["key", "value", "partition", "offset", "timestamp"],
    )


def decoded(*values: Value, keys: Sequence[Value] | None = None) -> Decoded:
    return decode_records(kafka_records(values, keys), pa.scalar(INGESTED, UTC_MICROSECONDS))


def the_tick(value: Value) -> dict[str, Any]:
    (row,) = decoded(value).ticks.to_pylist()
    return dict(row)


def the_quarantined(value: Value, key: Value = b"AAPL") -> dict[str, Any]:
    (row,) = decoded(value, keys=[key]).quarantine.to_pylist()
    return dict(row)


def with_event_time(nanoseconds: int) -> bytes:
    return encode(Tick("AAPL", Decimal("174.5"), ts_event=nanoseconds))


def offsets(rows: pa.Table) -> list[int]:
    return [int(offset) for offset in rows.column("kafka_offset").to_pylist()]


def test_good_and_bad_records_are_split_and_keep_their_coordinates() -> None:
    result = decoded(GOOD, BAD, GOOD, None, GOOD)
    places = ("kafka_partition", "kafka_offset", "kafka_timestamp")
    ticks = [tuple(row[name] for name in places) for row in result.ticks.to_pylist()]
    quarantine = [tuple(row[name] for name in places) for row in result.quarantine.to_pylist()]
    expected = [(2 if row == 2 else 0, FIRST_OFFSET + row, ARRIVED + timedelta(milliseconds=row)) for row in range(5)]
    assert ticks == [expected[0], expected[2], expected[4]]
    assert quarantine == [expected[1], expected[3]]


def test_a_value_stays_with_its_own_coordinates() -> None:
    values = [encode(Tick("AAPL", Decimal(row + 1), seq=row)) if row % 2 else b"bad %d" % row for row in range(20)]
    result = decoded(*values)
    assert [(row["kafka_offset"], row["seq"]) for row in result.ticks.to_pylist()] == [
        (FIRST_OFFSET + row, row) for row in range(1, 20, 2)
    ]
    assert [(row["kafka_offset"], row["value"]) for row in result.quarantine.to_pylist()] == [
        (FIRST_OFFSET + row, values[row]) for row in range(0, 20, 2)
    ]


def test_a_reason_stays_with_its_own_record() -> None:
    rows = decoded(None, GOOD, b"", b"{", BAD).quarantine.to_pylist()
    assert [(row["kafka_offset"] - FIRST_OFFSET, row["reason"]) for row in rows] == [
        (0, "tombstone"),
        (2, "empty"),
        (3, "not_json"),
        (4, "price_type"),
    ]


def test_a_tick_with_all_fields_becomes_a_row() -> None:
    tick = Tick("BRK.B", Decimal("0.00000001"), size=0, ts_event=1_764_000_000_123_456_789, seq=2**63 - 1, source="sim-7")
    assert the_tick(encode(tick)) == {
        "symbol": "BRK.B",
        "price": Decimal("0.00000001"),
        "size": 0,
        "ts_event": datetime(2025, 11, 24, 16, 0, 0, 123456, tzinfo=UTC),
        "ts_event_nanos": 789,
        "seq": 2**63 - 1,
        "source": "sim-7",
        "kafka_partition": 0,
        "kafka_offset": FIRST_OFFSET,
        "kafka_timestamp": ARRIVED,
        "ingested_at": INGESTED,
        "date": ARRIVED.date(),
    }


def test_a_minimal_message_gets_its_time_from_kafka_and_no_nanoseconds() -> None:
    row = the_tick(GOOD)
    assert row["ts_event"] == ARRIVED
    assert [row[name] for name in ("ts_event_nanos", "size", "seq", "source")] == [None] * 4


def test_an_event_time_of_whole_microseconds_has_zero_nanoseconds_not_null() -> None:
    assert the_tick(with_event_time(1_764_000_000_000_001_000))["ts_event_nanos"] == 0


def test_records_with_and_without_event_time_share_a_batch() -> None:
    rows = decoded(with_event_time(1_764_000_000_000_000_999), GOOD).ticks.to_pylist()
    assert [(row["ts_event"], row["ts_event_nanos"]) for row in rows] == [
        (datetime(2025, 11, 24, 16, tzinfo=UTC), 999),
        (ARRIVED + timedelta(milliseconds=1), None),
    ]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(EVENT_TIMES_NS[0], EVENT_TIMES_NS[-1]), min_size=1, max_size=20))
def test_microseconds_and_nanoseconds_add_up_to_the_event_time(nanoseconds: list[int]) -> None:
    ticks = decoded(*(with_event_time(moment) for moment in nanoseconds)).ticks
    microseconds = ticks.column("ts_event").cast(pa.int64()).to_pylist()
    remainders = ticks.column("ts_event_nanos").to_pylist()
    assert all(0 <= rest <= 999 for rest in remainders)
    assert [1000 * whole + rest for whole, rest in zip(microseconds, remainders, strict=True)] == nanoseconds


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(1, 10**18 - 1), min_size=1, max_size=20))
def test_a_price_is_exact_to_its_eighth_decimal(steps: list[int]) -> None:
    prices = [Decimal(step).scaleb(-8) for step in steps]
    assert decoded(*(encode(Tick("AAPL", price)) for price in prices)).ticks.column("price").to_pylist() == prices


@pytest.mark.parametrize("text", ["174.5", "1.745e2", "174.50000000000", "17450E-2"])
def test_a_price_does_not_depend_on_its_notation(text: str) -> None:
    assert the_tick(b'{"symbol": "AAPL", "price": %b}' % text.encode())["price"] == Decimal("174.50000000")


@pytest.mark.parametrize("value", examples.valid().values(), ids=examples.valid())
def test_every_valid_example_becomes_a_tick(value: bytes) -> None:
    result = decoded(value)
    assert (result.ticks.num_rows, result.quarantine.num_rows) == (1, 0)


@pytest.mark.parametrize(("reason", "value"), examples.malformed().items())
def test_every_malformed_example_is_quarantined_with_its_reason(reason: Reason, value: Value) -> None:
    row = the_quarantined(value)
    assert row["reason"] == reason.value
    assert row["detail"]
    assert row["value"] == (value and value[:MAX_VALUE_BYTES])


def test_a_quarantined_record_is_kept_as_it_was_received() -> None:
    assert the_quarantined(b"\xff\x00{", key=b"\x00key") == {
        "kafka_partition": 0,
        "kafka_offset": FIRST_OFFSET,
        "kafka_timestamp": ARRIVED,
        "key": b"\x00key",
        "value": b"\xff\x00{",
        "value_length": 3,
        "value_sha256": hashlib.sha256(b"\xff\x00{").hexdigest(),
        "reason": "invalid_utf8",
        "detail": "invalid start byte at byte 0",
        "ingested_at": INGESTED,
    }


def test_a_value_beyond_the_limit_is_cut_and_its_full_length_and_hash_are_kept() -> None:
    value = b"x" * MAX_VALUE_BYTES + b"the rest"
    row = the_quarantined(value)
    assert row["value"] == value[:MAX_VALUE_BYTES]
    assert row["value_length"] == MAX_VALUE_BYTES + 8
    assert row["value_sha256"] == hashlib.sha256(value).hexdigest()


def test_a_malformed_value_at_the_limit_is_kept_whole() -> None:
    value = b"x" * MAX_VALUE_BYTES
    assert the_quarantined(value)["value"] == value


def test_a_key_beyond_the_limit_is_cut() -> None:
    assert the_quarantined(BAD, key=b"k" * (MAX_VALUE_BYTES + 1))["key"] == b"k" * MAX_VALUE_BYTES


def test_a_tombstone_has_no_value_length_or_hash() -> None:
    row = the_quarantined(None)
    assert [row[name] for name in ("value", "value_length", "value_sha256", "reason")] == [None, None, None, "tombstone"]


def test_an_empty_value_is_no_tombstone() -> None:
    row = the_quarantined(b"")
    assert [row[name] for name in ("value", "value_length", "reason")] == [b"", 0, "empty"]


def test_missing_and_empty_keys_are_kept_as_such() -> None:
    result = decoded(GOOD, BAD, BAD, keys=[None, None, b""])
    assert result.ticks.num_rows == 1
    assert result.quarantine.column("key").to_pylist() == [None, b""]


def test_an_empty_batch_yields_two_empty_tables() -> None:
    assert [rows.num_rows for rows in decoded()] == [0, 0]


@pytest.mark.parametrize("values", [[], [GOOD], [BAD], [GOOD, BAD]], ids=["none", "good", "bad", "both"])
def test_the_columns_are_always_those_of_the_tables(values: list[Value]) -> None:
    result = decoded(*values)
    assert result.ticks.schema.equals(TICK_FIELDS.append(pa.field("date", pa.date32())))
    assert result.quarantine.schema.equals(QUARANTINE_FIELDS)


def test_a_slice_of_a_larger_batch_is_decoded_alone() -> None:
    records = kafka_records([BAD, GOOD, BAD, GOOD, GOOD]).slice(1, 3)
    result = decode_records(records, pa.scalar(INGESTED, UTC_MICROSECONDS))
    assert (offsets(result.ticks), offsets(result.quarantine)) == ([FIRST_OFFSET + 1, FIRST_OFFSET + 3], [FIRST_OFFSET + 2])


SHORT_EXAMPLES = [value for value in examples.malformed().values() if value is None or len(value) <= MAX_VALUE_BYTES]
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=60),
    st.sampled_from([*examples.valid().values(), *SHORT_EXAMPLES]),
    st.sampled_from(list(examples.valid().values())).flatmap(
        lambda value: st.integers(0, len(value)).map(lambda end: value[:end] + b"\x00" + value[end + 1 :])
    ),
)


@settings(deadline=None, max_examples=200)
@given(st.lists(VALUES, max_size=20))
def test_each_offset_is_in_exactly_one_result(values: list[Value]) -> None:
    result = decoded(*values)
    assert result.ticks.num_rows + result.quarantine.num_rows == len(values)
    assert sorted(offsets(result.ticks) + offsets(result.quarantine)) == [FIRST_OFFSET + row for row in range(len(values))]
