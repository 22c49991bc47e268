"""A worker's memory is bounded, however long the records are (tests/stack/test_readers.py tests the other reader)."""

from tests.support.worker_memory import MAX_GROWTH_MB, growth_mb


def test_long_malformed_records_from_spark_take_bounded_memory() -> None:
    assert growth_mb("spark", 8000) < MAX_GROWTH_MB
