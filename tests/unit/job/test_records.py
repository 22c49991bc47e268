"""Shares of a batch: every offset is in exactly one share, and shares are about equal."""

from hypothesis import given
from hypothesis import strategies as st

from finance_job.records import split_ranges
from finance_kafka.offsets import OffsetRange

RANGES = st.dictionaries(
    st.integers(0, 7),
    st.tuples(st.integers(0, 100), st.integers(0, 60)).map(lambda pair: OffsetRange(pair[0], sum(pair))),
    max_size=8,
)


@given(RANGES, st.integers(1, 5))
def test_every_offset_is_in_one_share(ranges: dict[int, OffsetRange], tasks: int) -> None:
    shares = split_ranges(ranges, tasks)
    offsets = sorted(
        (partition, offset) for share in shares for partition, span in share.items() for offset in range(span.start, span.end)
    )
    assert offsets == sorted(
        (partition, offset) for partition, span in ranges.items() for offset in range(span.start, span.end)
    )


@given(RANGES, st.integers(1, 5))
def test_no_share_is_larger_than_it_must_be(ranges: dict[int, OffsetRange], tasks: int) -> None:
    shares = split_ranges(ranges, tasks)
    total = sum(span.count for span in ranges.values())
    assert len(shares) <= tasks
    assert all(0 < sum(span.count for span in share.values()) <= -(-total // tasks) for share in shares)


def test_a_partition_that_is_larger_than_a_share_is_cut() -> None:
    assert split_ranges({0: OffsetRange(10, 20), 1: OffsetRange(0, 90)}, 2) == [
        {0: OffsetRange(10, 20), 1: OffsetRange(0, 40)},
        {1: OffsetRange(40, 90)},
    ]
