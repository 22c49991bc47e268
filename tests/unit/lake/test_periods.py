"""Bars of days, weeks and months of a time zone, and of an exchange's sessions, against plain Python and Polars."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import exchange_calendars
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import finance_lake as fl
from finance_contract import Tick
from finance_contract.tick import encode
from finance_lake.lake import Lake
from finance_lake.query.periods import calendar
from finance_lake.query.sessions import sessions_of
from tests.support.lakes import BuiltLake
from tests.support.polars_bars import bars_of, vwap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Clocks change at midnight in Cairo, Havana and Sao Paulo (until 2019), by half an hour in Lord Howe; Apia left out a day.
ZONES = ["UTC", "America/New_York", "Europe/London", "Asia/Kathmandu", "Australia/Lord_Howe", "Africa/Cairo", "America/Havana"]
STEP_NS = 10**9


def lake_of(folder: Path, ticks: list[Tick]) -> Lake:
    built = BuiltLake(folder / "data")
    if ticks:
        built.store([encode(tick) for tick in ticks])
    return Lake(built.paths.root)


def at(when: datetime) -> int:
    return round(when.timestamp()) * STEP_NS


def ticks_at(*times: datetime) -> list[Tick]:
    return [Tick("AAPL", Decimal(100 + number), size=number + 1, ts_event=at(time)) for number, time in enumerate(times)]


def first_day(day: date, size: str) -> date:
    if size.endswith("mo"):
        months = int(size[:-2])
        return date(day.year, (day.month - 1) // months * months + 1, 1)
    return day - timedelta(days=day.weekday()) if size == "1w" else day


def expected(ticks: list[Tick], key: Callable[[datetime], object]) -> list[tuple[object, ...]]:
    """Return symbol, open, high, low, close, volume, vwap and ticks of each symbol and key, in order of time."""
    groups: dict[tuple[str, object], list[Tick]] = defaultdict(list)
    for tick in sorted(ticks, key=lambda tick: (tick.symbol, tick.ts_event or 0)):
        moment = datetime.fromtimestamp((tick.ts_event or 0) // STEP_NS, UTC)
        if (group := key(moment)) is not None:
            groups[tick.symbol, group].append(tick)
    bars: list[tuple[object, ...]] = []
    for (symbol, _), rows in groups.items():
        prices, sizes = [row.price for row in rows], [row.size for row in rows]
        edges = prices[0], max(prices), min(prices), prices[-1]
        bars.append((symbol, *edges, sum(size or 0 for size in sizes), vwap(prices, sizes), len(rows)))
    return bars


def without_time(lake: Lake, size: str, **how: str) -> list[tuple[object, ...]]:
    return [tuple(value for name, value in row.items() if name != "ts") for row in lake.bars(size, **how).rows()]  # type: ignore[arg-type]


MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31)) | st.sampled_from(  # noqa: DTZ001 (zones are drawn apart)
    [
        datetime(2026, 3, 8, 6, 59, 59),  # noqa: DTZ001 (around New York's change)
        datetime(2026, 3, 8, 7),  # noqa: DTZ001
        datetime(2026, 11, 1, 5, 30),  # noqa: DTZ001
        datetime(2026, 11, 1, 6, 30),  # noqa: DTZ001
        datetime(2024, 4, 25, 21, 59, 59),  # noqa: DTZ001 (Cairo skips the midnight of the 26th)
        datetime(2024, 4, 25, 22),  # noqa: DTZ001
        datetime(2024, 11, 3, 4, 30),  # noqa: DTZ001 (Havana repeats it)
        datetime(2024, 11, 3, 5, 30),  # noqa: DTZ001
    ]
)
TICKS = st.lists(
    st.builds(
        Tick,
        symbol=st.sampled_from(["AAPL", "MSFT"]),
        price=st.integers(1, 10**12).map(lambda unscaled: Decimal(unscaled).scaleb(-8)),
        size=st.none() | st.integers(0, 1000),
        ts_event=MOMENTS.map(lambda moment: at(moment.replace(microsecond=0, tzinfo=UTC))),
    ),
    max_size=25,
    unique_by=lambda tick: tick.ts_event,
)


@settings(max_examples=40, deadline=None)
@given(ticks=TICKS, size=st.sampled_from(["1d", "1w", "1mo", "3mo", "12mo"]), zone=st.sampled_from(ZONES))
def test_days_weeks_and_months_are_those_of_the_zone(ticks: list[Tick], size: str, zone: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(Path(folder), ticks)
        local = ZoneInfo(zone)
        assert without_time(lake, size, tz=zone) == expected(ticks, lambda at: first_day(at.astimezone(local).date(), size))
        for bar in lake.bars(size, tz=zone).rows():
            begin = bar["ts"].astimezone(local)
            assert begin.date() == first_day(begin.date(), size)
            assert (begin - timedelta(seconds=1)).astimezone(UTC).astimezone(local).date() < begin.date() or begin.fold == 0


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS, size=st.sampled_from(["1d", "1w", "1mo"]))
def test_a_zone_without_offset_is_utc_as_polars_has_it(ticks: list[Tick], size: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(Path(folder), ticks)
        bars = [tuple(row.values()) for row in lake.bars(size, tz="Etc/GMT").rows()]
        assert bars == [tuple(row.values()) for row in lake.bars(size).rows()]
        assert bars == bars_of(pl.read_delta(str(lake.paths.ticks)), size)


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS, size=st.sampled_from(["1h", "4h", "7m", "90m"]), zone=st.sampled_from(ZONES[1:]))
def test_shorter_bars_count_from_the_local_midnight(ticks: list[Tick], size: str, zone: str) -> None:
    local, step = ZoneInfo(zone), {"1h": 3600, "4h": 14_400, "7m": 420, "90m": 5400}[size]

    def bar(moment: datetime) -> tuple[date, int]:
        day = moment.astimezone(local).date()
        midnight = moment
        for hours in (24, 1, 0):  # back to the first second of the local day: hours, then seconds
            by = timedelta(hours=hours) if hours else timedelta(seconds=1)
            while hours < 24 and (midnight - by).astimezone(local).date() == day:
                midnight -= by
        return day, int((moment - midnight).total_seconds()) // step

    with tempfile.TemporaryDirectory() as folder:
        assert without_time(lake_of(Path(folder), ticks), size, tz=zone) == expected(ticks, bar)


def test_a_day_of_a_clock_change_has_23_or_25_hours(tmp_path: Path) -> None:
    spring, autumn = datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 11, 1, 4, tzinfo=UTC)
    hours = [begin + timedelta(hours=number) for begin, count in ((spring, 23), (autumn, 25)) for number in range(count)]
    lake = lake_of(tmp_path, ticks_at(*hours))
    assert [(bar["ts"], bar["ticks"]) for bar in lake.bars("1d", tz="America/New_York").rows()] == [(spring, 23), (autumn, 25)]
    assert [bar["ticks"] for bar in lake.bars("1h", tz="America/New_York").rows()] == [1] * 48


def test_a_day_that_a_zone_left_out_has_no_bar(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, ticks_at(datetime(2011, 12, 30, 9, 59, tzinfo=UTC), datetime(2011, 12, 30, 10, tzinfo=UTC)))
    shown = [bar["ts"].astimezone(ZoneInfo("Pacific/Apia")).date() for bar in lake.bars("1d", tz="Pacific/Apia").rows()]
    assert shown == [date(2011, 12, 29), date(2011, 12, 31)]


# ---- sessions --------------------------------------------------------------------------------------------------------

FRIDAY = datetime(2026, 11, 27, tzinfo=UTC)  # after Thanksgiving: XNYS closes at 13:00


def test_a_half_day_ends_at_its_close_and_a_holiday_has_no_bar(tmp_path: Path) -> None:
    minutes = (
        timedelta(hours=14, minutes=29),
        timedelta(hours=14, minutes=30),
        timedelta(hours=17, minutes=59),
        timedelta(hours=18),
    )
    days = [FRIDAY - timedelta(days=2), FRIDAY - timedelta(days=1), FRIDAY]
    lake = lake_of(tmp_path, ticks_at(*(day + minute for day in days for minute in minutes)))
    bars = lake.bars("1d", session="XNYS").rows()
    assert [(bar["ts"], bar["ticks"]) for bar in bars] == [(days[0] + minutes[1], 3), (days[2] + minutes[1], 2)]
    assert lake.bars("1d", session="XNYS").tz == "America/New_York"
    (week,) = lake.bars("1w", session="XNYS").rows()
    assert (week["ts"], week["ticks"]) == (FRIDAY - timedelta(days=4) + minutes[1], 5)


@settings(max_examples=25, deadline=None)
@given(ticks=TICKS, size=st.sampled_from(["1d", "1w", "1mo", "1h"]), exchange=st.sampled_from(["XNYS", "XLON", "XHKG"]))
def test_sessions_are_those_of_the_calendar(ticks: list[Tick], size: str, exchange: str) -> None:
    opened = exchange_calendars.get_calendar(exchange, start="2023-12-01", end="2027-01-31")
    rows = list(opened.schedule.itertuples())

    def bar(moment: datetime) -> object:
        for day in rows:
            breaks = day.break_start is not None and day.break_start == day.break_start
            parts = [(day.open, day.break_start), (day.break_end, day.close)] if breaks else [(day.open, day.close)]
            for begin, end in parts:
                if begin <= moment < end:
                    of = begin + (moment - begin) // timedelta(hours=1) * timedelta(hours=1)
                    return of if size == "1h" else first_day(day.Index.date(), size)
        return None

    with tempfile.TemporaryDirectory() as folder:
        assert without_time(lake_of(Path(folder), ticks), size, session=exchange) == expected(ticks, bar)


def test_sessions_have_their_breaks() -> None:
    (day,) = sessions_of("XHKG", date(2026, 11, 24), date(2026, 11, 24))
    assert [[f"{at:%H:%M}" for at in part] for part in day.parts] == [["01:30", "04:00"], ["05:00", "08:00"]]
    assert sessions_of("XNYS", date(2026, 11, 26), date(2026, 11, 26)) == ()


def test_the_sessions_of_an_exchange_are_listed(two_days: Lake) -> None:
    listed = two_days.sessions("XNYS", date(2026, 11, 25), "2026-11-30")
    assert [(f"{row['day']:%m-%d}", row["kind"], *map(clock, (row["open"], row["close"]))) for row in listed.rows()] == [
        ("11-25", "full day", "14:30", "21:00"),
        ("11-26", "holiday", None, None),
        ("11-27", "half day", "14:30", "18:00"),
    ]
    assert listed.df(floats=True)["close"].iloc[2].isoformat() == "2026-11-27T13:00:00-05:00"
    (lunch,) = two_days.sessions("XHKG", "2026-11-24T15:59", "2026-11-24T16:00").rows()
    assert [clock(lunch[name]) for name in ("open", "break_start", "break_end", "close")] == [
        "01:30",
        "04:00",
        "05:00",
        "08:00",
    ]
    assert [row["kind"] for row in two_days.sessions("24/7", "2026-12-25", "2026-12-27").rows()] == ["full day"] * 2
    assert not len(two_days.sessions("XNYS", "2026-11-28", "2026-11-28"))
    assert {row["day"].weekday() for row in two_days.sessions("XTAE", "2025-01-01", "2025-03-01").rows()} == {6, 0, 1, 2, 3}
    assert [row["day"].isoformat() for row in two_days.sessions("XNYS", "2025-01-09", "2025-01-10").rows()] == ["2025-01-09"]


def clock(at: datetime | None) -> str | None:
    return f"{at:%H:%M}" if at else None


@pytest.mark.parametrize(
    "ask", [lambda lake: lake.sessions("XNYS", "2026-11-24", "2026-11-25"), lambda lake: lake.bars(session="XNYS")]
)
def test_without_exchange_calendars_the_extra_is_named(
    two_days: Lake, monkeypatch: pytest.MonkeyPatch, ask: Callable[[Lake], object]
) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(
        fl.RequestError, match=r"The sessions of XNYS need exchange-calendars: `pip install 'financelake\[sessions\]'`"
    ):
        ask(two_days)


# ---- arguments -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_days(tmp_path: Path) -> Iterator[Lake]:
    with lake_of(tmp_path, ticks_at(datetime(2026, 11, 23, 15, tzinfo=UTC), datetime(2026, 11, 24, 15, tzinfo=UTC))) as opened:
        yield opened


@pytest.mark.parametrize(
    ("how", "ticks"),
    [
        ({"start": "2026-11-24"}, [1]),
        ({"start": "2026-11-24", "tz": "America/New_York"}, [1]),
        ({"start": "2026-11-24T00:01", "tz": "America/New_York"}, []),
        ({"end": "2026-11-23T05:00:00.000001Z", "tz": "America/New_York"}, [1]),
        ({"end": "2026-11-23", "tz": "America/New_York"}, []),
        ({"start": "2027-01-01", "tz": "Asia/Tokyo"}, []),
        ({"start": date(2026, 11, 24), "session": "XNYS"}, [1]),
        ({"end": "2026-11-24T09:31", "session": "XNYS"}, [1, 1]),
    ],
)
def test_whole_bars_are_selected_by_their_begin(two_days: Lake, how: dict[str, str], ticks: list[int]) -> None:
    assert [bar["ticks"] for bar in two_days.bars("1d", **how).rows()] == ticks  # type: ignore[arg-type]


def test_an_empty_lake_has_bars_of_the_same_columns(two_days: Lake, tmp_path: Path) -> None:
    empty = lake_of(tmp_path / "empty", [])
    for how in ({"tz": "Asia/Tokyo"}, {"session": "XNYS"}, {"fill": True}):
        assert empty.bars("1d", **how).arrow.schema == two_days.bars("1d").arrow.schema
        assert len(empty.returns("1mo", **how)) == 0


@pytest.mark.parametrize(
    ("size", "how", "what"),
    [
        ("2w", {}, "is not a bar size"),
        ("5mo", {}, "is not a bar size"),
        ("1d", {"tz": "Mars/Olympus"}, "tz='Mars/Olympus' is not a time zone"),
        ("1d", {"tz": "../etc/passwd"}, "is not a time zone"),
        ("1d", {"session": "NYSE?"}, "is not an exchange: use a code such as XNYS"),
    ],
)
def test_what_cannot_be_grouped_is_refused(two_days: Lake, size: str, how: dict[str, str], what: str) -> None:
    with pytest.raises(fl.RequestError, match=what):
        two_days.bars(size, **how)  # type: ignore[arg-type]


def test_periods_reach_from_the_first_to_the_last_time_without_overlap() -> None:
    first, last = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)
    for size in ("1d", "1w", "1mo", "1h"):
        periods = calendar(size, "Europe/London", None).periods(first, last)
        assert periods[0].begin <= first.timestamp() * 10**6
        assert periods[-1].end > last.timestamp() * 10**6
        assert all(one.end == other.begin for one, other in pairwise(periods))
