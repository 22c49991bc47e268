"""Read ranges of the topic from librdkafka's built-in mock broker: Kafka's protocol without a JVM."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Producer

from finance_kafka import range_reader
from finance_kafka.describe import BrokerUnavailableError
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import KafkaRangeReader, OffsetOutOfRangeError, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDS = 3000


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    """Fill partitions 0 and 1 alternately; every seventh value is a tombstone."""
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    for number in range(RECORDS):
        value = f"v{number}".encode() if number % 7 else None
        producer.produce("finance", value, b"AAPL", number % 2, timestamp=1_764_000_000_000 + number)
    producer.flush()
    yield f"{broker.host}:{broker.port}"
    del producer


def read(bootstrap: str, ranges: dict[int, OffsetRange]) -> list[Record]:
    return [record for records in range_reader.read_ranges(bootstrap, "finance", ranges) for record in records]


def test_only_the_records_of_the_ranges_are_returned_in_order(bootstrap: str) -> None:
    records = read(bootstrap, {0: OffsetRange(5, 1400), 1: OffsetRange(0, 1500), 2: OffsetRange(3, 3)})
    assert len(records) == 1395 + 1500
    assert [record.offset for record in records if record.partition == 0] == list(range(5, 1400))
    assert [record.offset for record in records if record.partition == 1] == list(range(1500))


def test_a_record_has_key_value_and_timestamp(bootstrap: str) -> None:
    assert read(bootstrap, {0: OffsetRange(7, 9)}) == [
        Record(0, 7, 1_764_000_000_014, b"AAPL", None),
        Record(0, 8, 1_764_000_000_016, b"AAPL", b"v16"),
    ]


def test_at_the_end_of_the_partition_reading_ends(bootstrap: str) -> None:
    assert len(read(bootstrap, {0: OffsetRange(1490, 1510)})) == 10


def test_an_offset_that_the_topic_does_not_have_raises(bootstrap: str) -> None:
    reader = KafkaRangeReader(bootstrap, "finance")
    with pytest.raises(OffsetOutOfRangeError, match="of partition 0: data may have been lost"):
        list(reader.read({0: OffsetRange(5000, 5010)}))
    reader.close()


def test_a_reader_reads_range_after_range(bootstrap: str) -> None:
    reader = KafkaRangeReader(bootstrap, "finance")
    for start in (0, 700, 100):
        offsets = [messages.offsets.tolist() for messages in reader.read({1: OffsetRange(start, start + 50)})]
        assert list(chain.from_iterable(offsets)) == list(range(start, start + 50))
    reader.close()


def test_partitions_of_an_adopted_topic_are_read_and_returned_under_the_lakes_numbers(bootstrap: str) -> None:
    ranges = {3000: OffsetRange(7, 9), 3001: OffsetRange(0, 1), 1000: OffsetRange(5, 5)}
    steps = range_reader.read_ranges(bootstrap, "finance", ranges, 3000)
    places = [(record.partition, record.offset) for records in steps for record in records]
    assert sorted(places) == [(3000, 7), (3000, 8), (3001, 0)]
    waiting = {3000: OffsetRange(7, 9), 3001: OffsetRange(0, 1)}
    assert range_reader.oldest_timestamp(bootstrap, "finance", waiting, 3000) == pytest.approx(1_764_000_000.001)


def test_a_broker_that_returns_nothing_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(range_reader, "SILENCE_SECONDS", 0.1)
    with pytest.raises(BrokerUnavailableError, match="returns no records from offset 0:3 on"):
        read("127.0.0.1:1", {0: OffsetRange(3, 9)})
