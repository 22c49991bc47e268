"""The size of the first chart's bars follows the time that the data spans."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from finance_lake.dashboard.bar_size import SIZES, fitting

END = datetime(2026, 11, 24, 15, tzinfo=UTC)
DAY = 1440


def starts(minutes: int, *earlier: datetime) -> pa.ChunkedArray:
    """Return when the bars of the newest `minutes` minutes begin, after other times."""
    times = [*earlier, *(END - timedelta(minutes=before) for before in range(minutes - 1, -1, -1))]
    return pa.chunked_array([pa.array(times, pa.timestamp("us", "UTC"))])


@pytest.mark.parametrize(
    ("minutes", "size"),
    [
        *((1, "1s"), (5, "1s"), (8, "10s"), (30, "10s"), (49, "1m"), (60, "1m"), (61, "1m"), (180, "1m")),
        *((300, "5m"), (DAY, "15m"), (2 * DAY, "15m"), (7 * DAY, "1h"), (60 * DAY, "1d")),
    ],
)
def test_the_size_fits_the_span(minutes: int, size: str) -> None:
    assert fitting(starts(minutes)) == size


def test_every_size_is_chosen_for_some_span() -> None:
    assert {fitting(starts(minutes)) for minutes in (1, 10, 60, 300, DAY, 7 * DAY, 60 * DAY)} == SIZES.keys()


def test_a_few_very_late_ticks_do_not_stretch_the_span() -> None:
    assert fitting(starts(60, END - timedelta(days=9000))) == "1m"


def test_days_without_ticks_in_between_count() -> None:
    assert fitting(starts(1, *(END - timedelta(days=day) for day in range(60, 0, -1)))) == "1d"


def test_nothing_has_minutes() -> None:
    assert fitting(starts(0)) == "1m"
