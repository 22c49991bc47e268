"""The capacity model reproduces measured points, no need falls as the rate rises, and docs/SCALING.md shows its tables."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bench.capacity import COSTS, Needs, cores, needs, tables

ROOT = Path(__file__).parents[2]
TWO_CORES = 2
# Ticks per second that two cores reached, and the stages that shared them.
MEASURED = {
    ("job, READER=direct",): 586_000,
    ("job, READER=spark",): 517_000,
    ("producer", "broker", "job, READER=direct"): 250_000,
}


@pytest.mark.parametrize(("stages", "rate"), MEASURED.items())
def test_measured_points_are_reproduced_within_a_quarter(stages: tuple[str, ...], rate: int) -> None:
    needed = sum(cores(stage, rate, headroom=1) for stage in stages)
    assert TWO_CORES * 0.75 <= needed <= TWO_CORES


def test_no_need_falls_as_the_rate_rises() -> None:
    for slower, faster in pairwise(needs(10**exponent) for exponent in range(2, 8)):
        assert all(low <= high for low, high in zip(slower, faster, strict=True))


def test_three_replicas_need_three_brokers_and_three_times_the_space() -> None:
    one, three = needs(100_000, replicas=1), needs(100_000, replicas=3)
    assert (one.brokers, three.brokers) == (1, 3)
    assert three.kafka_gb == pytest.approx(3 * one.kafka_gb)
    assert three.lake_gb == one.lake_gb


def test_longer_batches_make_fewer_files() -> None:
    assert needs(1_000_000, trigger_seconds=10).files_a_day == pytest.approx(needs(1_000_000).files_a_day / 10)


def test_brokers_have_the_cores_and_the_bandwidth_that_the_rate_needs() -> None:
    high: Needs = needs(10_000_000)
    assert high.brokers * 100e6 >= 10_000_000 * COSTS["record in Kafka"].value * 3 * 2
    assert high.brokers * 4 >= high.broker_cores


def test_the_page_shows_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "SCALING.md").read_text()
    shown = page.partition("<!-- python -m bench.capacity -->")[2].partition("<!-- end -->")[0].strip()
    assert shown == tables()
