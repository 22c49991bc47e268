"""Derived tables: their newest rows are what the ticks say, whatever happened to the ticks in between."""

from __future__ import annotations

import dataclasses
import random
import re
import secrets
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest
import structlog
from deltalake import DeltaTable, write_deltalake

from finance_contract import Tick
from finance_contract.tick import encode
from finance_job.derived import sessions, upkeep
from finance_job.derived.bars_1m import BARS_1M
from finance_job.derived.coverage_1m import COVERAGE_1M, coverage
from finance_job.derived.following import SETTLE_SECONDS, Following, until_next
from finance_job.derived.revision import MAX_INTERVALS, Interval, Revisions, intervals, rows_within
from finance_job.derived.sessions import FEW_TICKS, few_session, tick_table
from finance_job.derived.upkeep import Upkeep
from finance_lake.cli.verify import with_bars
from finance_lake.derived import bars, newest, reconcile, revisions
from finance_lake.lake import Lake
from finance_storage import delta_log
from finance_storage.derived_tables import DerivedState, pauses, states
from finance_storage.errors import NoLakeError
from finance_verify.verdict import Code, Report
from tests.support.lakes import LAKE, BuiltLake
from tests.support.stack import ROOT, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

BEGIN_NS = int(datetime(2026, 11, 24, 10, 30, tzinfo=UTC).timestamp()) * 10**9
MINUTE_NS = 60 * 10**9
BAR = ("symbol", "ts", "open", "high", "low", "close", "volume", "vwap")
NEWEST = """SELECT * FROM revisions QUALIFY row_number() OVER (PARTITION BY symbol, ts ORDER BY as_of DESC) = 1"""


@pytest.fixture(scope="module")
def session(spark: SparkSession) -> SparkSession:
    return few_session(spark)


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    return BuiltLake(tmp_path / "data", partitions=2)


@pytest.fixture
def chance() -> random.Random:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    return random.Random(seed)  # noqa: S311


def some_ticks(chance: random.Random, count: int, minutes: range = range(5)) -> list[bytes]:
    return [
        encode(
            Tick(
                chance.choice(["AAPL", "MSFT", "BRK.B"]),
                Decimal(chance.randrange(1, 10**12)).scaleb(-8),
                size=chance.choice([None, 0, chance.randrange(1, 1000)]),
                ts_event=BEGIN_NS + chance.choice(minutes) * MINUTE_NS + chance.randrange(0, MINUTE_NS),
            )
        )
        for _ in range(count)
    ]


def revisions_of(lake: BuiltLake, table: Any = BARS_1M) -> pa.Table:  # noqa: ANN401
    return DeltaTable(str(lake.paths.derived(table.name))).to_pyarrow_table()


def stored_bars(lake: BuiltLake) -> list[tuple[Any, ...]]:
    rows = duckdb.from_arrow(revisions_of(lake)).query("revisions", NEWEST)
    assert rows is not None
    return rows.filter("tick_count > 0").order("symbol, ts").select(*BAR, "tick_count").fetchall()


def true_bars(lake: BuiltLake) -> list[tuple[Any, ...]]:
    with Lake(lake.paths.root) as opened:
        rows = opened.bars("1m").arrow.select([*BAR, "ticks"])
    return [tuple(row.values()) for row in rows.to_pylist()]


def bars_of(session: SparkSession, lake: BuiltLake) -> Revisions:
    return Revisions(tick_table(session, lake.paths, LAKE), BARS_1M)


def keys(*pairs: tuple[str, int]) -> pa.Table:
    """Give keys by symbol and minute."""
    times = [datetime.fromtimestamp((BEGIN_NS + minute * MINUTE_NS) / 10**9, UTC) for _, minute in pairs]
    return pa.table({"symbol": [symbol for symbol, _ in pairs], "ts": pa.array(times, pa.timestamp("us", "UTC"))})


def test_all_bars_are_those_of_the_ticks(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 200))
    lake.store(some_ticks(chance, 100), partition=1)
    version = DeltaTable(str(lake.paths.ticks)).version()
    bars = bars_of(session, lake)
    assert bars.position is None
    bars.restate_all(version)
    assert bars.position == version
    assert stored_bars(lake) == true_bars(lake)
    assert revisions_of(lake).schema.field("ts").type == pa.timestamp("us", "UTC")
    with Lake(lake.paths.root) as opened:
        assert newest(opened).arrow.schema.field("ts").type == pa.timestamp("us", "UTC")
    protocol = DeltaTable(str(lake.paths.derived(BARS_1M.name))).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


@pytest.mark.parametrize(
    ("price", "size"),
    [("9999999999.99999999", 2**63 - 1), ("9999999999.99999999", 10**12), ("0.00000001", 1), ("1", None), ("1", 0)],
)
def test_extremes_are_exact_and_overflow_nothing(session: SparkSession, lake: BuiltLake, price: str, size: int | None) -> None:
    lake.store([encode(Tick("AAPL", Decimal(price), size=size, ts_event=BEGIN_NS + number)) for number in range(60)])
    bars_of(session, lake).restate_all(1)
    (stored,), (true,) = stored_bars(lake), true_bars(lake)
    volume = BAR.index("volume")
    assert stored[volume] == 60 * (size or 0)  # the query's is null beyond 64 bits
    assert [*stored[:volume], *stored[volume + 1 :]] == [*true[:volume], *true[volume + 1 :]]


@pytest.mark.parametrize("few", [0, FEW_TICKS])
def test_a_late_tick_restates_its_minute_alone(
    session: SparkSession, lake: BuiltLake, chance: random.Random, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(sessions, "FEW_TICKS", few)
    lake.store(some_ticks(chance, 100))
    bars = bars_of(session, lake)
    bars.restate_all(1)
    before = revisions_of(lake).num_rows
    lake.store([encode(Tick("AAPL", Decimal("0.5"), ts_event=BEGIN_NS + 2 * MINUTE_NS + 1))])
    bars.restate(keys(("AAPL", 2)), 2)
    assert revisions_of(lake).num_rows == before + 1
    assert stored_bars(lake) == true_bars(lake)


def test_the_same_revision_is_appended_once(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 50))
    for _ in range(2):
        bars_of(session, lake).restate_all(1)
    rows = revisions_of(lake)
    assert rows.num_rows == rows.group_by(["symbol", "ts", "as_of"]).aggregate([]).num_rows


def test_a_minute_without_ticks_any_more_is_withdrawn(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 60))
    bars = bars_of(session, lake)
    bars.restate_all(1)
    DeltaTable(str(lake.paths.ticks)).delete("symbol = 'MSFT'")
    bars.restate_all(2)
    assert stored_bars(lake) == true_bars(lake)
    withdrawn = [row for row in revisions_of(lake).to_pylist() if not row["tick_count"]]
    assert withdrawn
    assert {row["symbol"] for row in withdrawn} == {"MSFT"}


@pytest.fixture
def following(session: SparkSession, lake: BuiltLake) -> Iterator[Following]:
    thread = Following(tick_table(session, lake.paths, LAKE), BARS_1M, 0.2, threading.Lock(), structlog.get_logger())
    thread.start()
    yield thread
    thread.stop()
    thread.close()


def test_a_batch_begins_a_little_after_each_multiple_of_its_seconds() -> None:
    assert until_next(120.0, 60.0) == SETTLE_SECONDS
    assert until_next(120.0 + SETTLE_SECONDS, 60.0) == 60.0
    assert until_next(179.0, 60.0) == 1.0 + SETTLE_SECONDS
    assert 0.0 < until_next(1764000000.123, 0.2) <= 0.2


def wait_for_bars(lake: BuiltLake) -> None:
    def caught_up() -> bool:
        table = lake.paths.derived(BARS_1M.name)
        return delta_log.has(table, 0) and stored_bars(lake) == true_bars(lake)

    wait_until(caught_up, 180, lambda: f"bars that are those of the ticks: {stored_bars(lake)} != {true_bars(lake)}")


@pytest.mark.parametrize("few", [0, FEW_TICKS])
def test_bars_follow_the_ticks(
    lake: BuiltLake, chance: random.Random, following: Following, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(sessions, "FEW_TICKS", few)
    for number in range(3):
        lake.store(some_ticks(chance, 20, range(number, number + 3)), partition=number % 2)
        wait_for_bars(lake)
    compact(lake)
    lake.store(some_ticks(chance, 10))
    wait_for_bars(lake)
    DeltaTable(str(lake.paths.ticks)).delete("symbol = 'AAPL'")
    lake.writer.invalidate_cache()
    lake.store(some_ticks(chance, 5))
    wait_for_bars(lake)
    assert following.is_alive()
    rows = revisions_of(lake)
    assert rows.num_rows == rows.group_by(["symbol", "ts", "as_of"]).aggregate([]).num_rows


def compact(lake: BuiltLake) -> None:
    with_files = DeltaTable(str(lake.paths.ticks)).file_uris()
    DeltaTable(str(lake.paths.ticks)).optimize.compact()
    assert DeltaTable(str(lake.paths.ticks)).file_uris() != with_files
    lake.writer.invalidate_cache()


def test_a_table_that_fails_is_paused_and_goes_on(
    session: SparkSession, lake: BuiltLake, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [ValueError("no such thing")] * 2 + [OSError("no space left")]

    def compute(ticks: Any) -> Any:  # noqa: ANN401
        if faults:
            raise faults.pop()
        return BARS_1M.compute(ticks)

    table = dataclasses.replace(BARS_1M, compute=compute)
    lake.store(some_ticks(chance, 20))
    thread = Following(tick_table(session, lake.paths, LAKE), table, 0.2, threading.Lock(), structlog.get_logger())
    thread.start()
    wait_until(lambda: "bars_1m" in pauses(lake.paths), 60, "a pause that status can see")
    (state,) = states(lake.paths)
    assert state.pause
    assert (state.as_of, state.pause.reason, state.pause.retry > state.pause.since) == (None, "no space left", True)
    wait_for_bars(lake)
    wait_until(lambda: not pauses(lake.paths), 60, "no pause any more")
    thread.stop()
    thread.close()
    log = capsys.readouterr().out
    assert log.count("derived table paused") == 3
    assert log.count("Traceback") == log.count("ValueError: no such thing") == 2  # a fault of the code, unlike a full disk
    assert states(lake.paths) == (DerivedState("bars_1m", 1, None),)


def test_a_position_older_than_the_files_of_its_versions_is_not_followed_from(
    session: SparkSession, lake: BuiltLake, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.store(some_ticks(chance, 20))
    bars_of(session, lake).restate_all(1)
    lake.store(some_ticks(chance, 20))
    compact(lake)
    DeltaTable(str(lake.paths.ticks)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    lake.writer.invalidate_cache()
    lake.store(some_ticks(chance, 20))
    monkeypatch.setattr("finance_job.derived.following.MAX_POSITION_AGE", timedelta(0))
    thread = Following(tick_table(session, lake.paths, LAKE), BARS_1M, 0.2, threading.Lock(), structlog.get_logger())
    thread.start()
    wait_for_bars(lake)
    thread.stop()
    thread.close()


def test_small_files_are_merged_and_replaced_ones_removed(
    session: SparkSession, lake: BuiltLake, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "MAX_SMALL_FILES", 3)
    monkeypatch.setattr(upkeep, "VACUUM_HOURS", 0)
    folder = lake.paths.derived(BARS_1M.name)
    kept, maintained = bars_of(session, lake), Upkeep(folder)
    for version in range(1, 5):
        lake.store(some_ticks(chance, 10))
        kept.restate_all(version)
        maintained.step()
    assert [len(DeltaTable(str(folder)).file_uris()), len(list(folder.glob("*.parquet")))] == [1, 1]
    assert stored_bars(lake) == true_bars(lake)
    assert kept.position == 4
    protocol = DeltaTable(str(folder)).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_bars_as_known_at_an_earlier_time(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    known = {}
    for version in (1, 2):
        lake.store(some_ticks(chance, 40))
        bars_of(session, lake).restate_all(version)
        known[version] = stored_bars(lake)
    first, second = (delta_log.entry(lake.paths.ticks, version) for version in (1, 2))
    assert first
    assert second
    with Lake(lake.paths.root) as opened:
        for as_of, version in ((1, 1), (second.committed - timedelta(microseconds=1), 1), (second.committed, 2), (None, 2)):
            rows = newest(opened, as_of=as_of).arrow.select([*BAR, "tick_count"])
            assert [tuple(row.values()) for row in rows.to_pylist()] == known[version]
            assert bars(opened, as_known_at=as_of).arrow.equals(opened.bars("1m", as_of=version).arrow)
            one = bars(opened, "AAPL", start="2026-11-24T10:31", as_known_at=as_of).arrow
            assert one.equals(opened.bars("1m", "AAPL", start="2026-11-24T10:31", as_of=version).arrow)
        with pytest.raises(NoLakeError, match="had none then"):
            newest(opened, as_of=first.committed - timedelta(seconds=1))


def test_a_later_start_goes_on_from_the_position(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    for _ in range(2):
        lake.store(some_ticks(chance, 20))
        thread = Following(tick_table(session, lake.paths, LAKE), BARS_1M, 0.2, threading.Lock(), structlog.get_logger())
        thread.start()
        wait_for_bars(lake)
        thread.stop()
        thread.close()
        assert not (lake.paths.root / "run" / "derived" / "bars_1m").exists()
    assert DeltaTable(str(lake.paths.derived(BARS_1M.name))).version() == 2  # creation aside: one revision a start


def test_ingestion_does_not_hear_of_derived_tables(spark: SparkSession, session: SparkSession, following: Following) -> None:
    assert following.is_alive()
    assert spark.sparkContext is session.sparkContext
    assert not spark.streams.active


def test_coverage_of_ten_ticks(session: SparkSession) -> None:
    second = 1_000_000

    def row(number: int, event: float, source: str = "sim") -> tuple[Any, ...]:
        at = datetime.fromtimestamp(BEGIN_NS / 10**9 + event, UTC)
        return (
            "AAPL",
            at.replace(second=0, microsecond=0),
            source,
            number + 100,
            0,
            number,
            at,
            datetime.fromtimestamp(BEGIN_NS / 10**9 + number, UTC),
        )

    rows = [row(number, event) for number, event in enumerate([0, 1, 2.5, 2, 5, 6, 7, 4, 9])] + [row(20, 10, "other")]
    names = ["symbol", "ts", "source", "seq", "kafka_partition", "kafka_offset", "ts_event", "kafka_timestamp"]
    (found,) = coverage(session.createDataFrame(rows, names)).collect()
    assert found.asDict() | {"ts": None} == {
        "symbol": "AAPL",
        "ts": None,
        "out_of_order": 2,
        "sources": 2,
        "min_delay_us": -second,
        "max_delay_us": 10 * second,
        "max_gap_us": 2 * second,
        "numbered": 10,
        "first_seq": 100,
        "last_seq": 120,
    }


def test_coverage_is_kept_too(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 40))
    Revisions(tick_table(session, lake.paths, LAKE), COVERAGE_1M).restate_all(1)
    counts = revisions_of(lake, COVERAGE_1M).group_by("symbol").aggregate([("tick_count", "sum")])
    assert sum(counts.column("tick_count_sum").to_pylist()) == 40


def test_intervals_are_few_and_cover_all_minutes() -> None:
    assert intervals(keys(("A", 0), ("B", 0), ("A", 1), ("A", 5)), 60) == [
        Interval(BEGIN_NS // 1000, BEGIN_NS // 1000 + 120_000_000),
        Interval(BEGIN_NS // 1000 + 300_000_000, BEGIN_NS // 1000 + 360_000_000),
    ]
    many = intervals(keys(*(("A", 7 * number + number // 10) for number in range(1000))), 60)
    assert len(many) <= MAX_INTERVALS + 1


def test_the_ticks_that_a_query_may_read_are_those_of_the_files_in_its_times(lake: BuiltLake, chance: random.Random) -> None:
    for minute in (0, 5, 9):
        lake.store(some_ticks(chance, 10 + minute, range(minute, minute + 1)))
    table = DeltaTable(str(lake.paths.ticks))
    assert rows_within(table, intervals(keys(("A", 0), ("A", 9)), 60)) == 10 + 19
    assert rows_within(table, intervals(keys(("A", 5)), 60)) == 15
    assert rows_within(table, intervals(keys(("A", 7)), 60)) == 0
    assert rows_within(table, intervals(keys(*(("A", minute) for minute in range(10))), 60)) == 10 + 15 + 19


def test_files_without_statistics_count_as_read(tmp_path: Path) -> None:
    write_deltalake(
        tmp_path,
        pa.table({"ts_event": pa.array([0, 1], pa.timestamp("us", "UTC"))}),
        configuration={"delta.dataSkippingNumIndexedCols": "0"},
    )
    assert rows_within(DeltaTable(str(tmp_path)), [Interval(5, 6)]) == 2
    assert rows_within(None, [Interval(5, 6)]) == 0


def test_reconciling_finds_no_difference_and_names_one(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 120))
    assert with_bars(Report(()), lake.paths) == Report(())  # no bars are stored
    bars_of(session, lake).restate_all(1)
    lake.store(some_ticks(chance, 30))  # the stored bars are one version behind, and right as of theirs
    (note,) = with_bars(Report(()), lake.paths).notes
    assert "stored bars equal their ticks as of version 1" in note
    with Lake(lake.paths.root) as opened:
        found = reconcile(opened)
        assert (found.as_of, found.bars) == (1, len(opened.bars("1m", as_of=1)))
        assert found.differing.rows() == []
        wrong = newest(opened).arrow.slice(0, 1).to_pylist()[0]
        folder = str(lake.paths.derived(BARS_1M.name))
        DeltaTable(folder).update(
            {"high": "high + 1"}, predicate=f"symbol = '{wrong['symbol']}' AND ts = '{wrong['ts']:%Y-%m-%dT%H:%M:%SZ}'"
        )
        (different,) = reconcile(opened).differing.rows()
        assert (different["symbol"], different["ts"]) == (wrong["symbol"], wrong["ts"])
    (finding,) = with_bars(Report(()), lake.paths).findings
    assert finding.code is Code.DERIVED
    assert f"1 of {found.bars} stored bars differ from their ticks as of version 1, such as {wrong['symbol']} " in finding.what


def test_a_table_of_another_lake_is_moved_aside(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    lake.store(some_ticks(chance, 50))
    Revisions(tick_table(session, lake.paths, "another"), BARS_1M).restate(keys(("GONE", 0)), 1)
    bars_of(session, lake).restate_all(1)
    assert stored_bars(lake) == true_bars(lake)
    assert [path.name[:15] for path in lake.paths.aside.iterdir()] == ["finance_bars_1m"]


def test_the_revisions_of_a_bar_tell_how_it_came_to_be(session: SparkSession, lake: BuiltLake) -> None:
    revisions_made = bars_of(session, lake)
    for number, price in enumerate(("2", "3"), 1):
        lake.store([encode(Tick("AAPL", Decimal(price), ts_event=BEGIN_NS + number))])
        revisions_made.restate(keys(("AAPL", 0)), number)
    with Lake(lake.paths.root) as opened:
        rows = revisions(opened, "AAPL", "2026-11-24T10:30").rows()
    assert [(row["as_of"], row["close"], row["tick_count"]) for row in rows] == [(1, 2, 1), (2, 3, 2)]


def test_the_example_of_the_page_is_a_derived_table(session: SparkSession, lake: BuiltLake, chance: random.Random) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "DERIVED.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 (the project's own page)
    lake.store(some_ticks(chance, 40))
    Revisions(tick_table(session, lake.paths, LAKE), names["SPREAD_1M"]).restate_all(1)
    stored = {(row["symbol"], row["ts"]): row["spread"] for row in revisions_of(lake, names["SPREAD_1M"]).to_pylist()}
    with Lake(lake.paths.root) as opened:
        assert stored == {(bar["symbol"], bar["ts"]): bar["high"] - bar["low"] for bar in opened.bars("1m").rows()}
