"""The Lake class, on a small lake whose ticks are known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import finance_lake as fl
from finance_lake.lake import Lake
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, BuiltLake
from tests.unit.lake.conftest import BEGIN, tick

if TYPE_CHECKING:
    from pathlib import Path

    from finance_lake.query.result import Result


def prices(result: Result) -> list[Decimal]:
    column: list[Decimal] = result.arrow.column("price").to_pylist()
    return column


def test_ticks_are_sorted_by_event_time(lake: Lake) -> None:
    assert prices(lake.ticks("AAPL")) == [100, 102, 98, Decimal("99.5"), 101]
    assert len(lake.ticks()) == 7
    assert len(lake.ticks("AAPL", "MSFT")) == 7
    assert len(lake.ticks("IBM")) == 0


def test_ticks_between_two_times(lake: Lake) -> None:
    assert prices(lake.ticks("AAPL", start="2026-11-24T10:30:20", end="2026-11-24T10:30:40")) == [102, 98]
    assert prices(lake.ticks("AAPL", start="2026-11-24T11:31:00+01:00")) == [101]
    assert prices(lake.ticks("MSFT", end=BEGIN + timedelta(minutes=1))) == [400]
    assert len(lake.ticks(start=date(2026, 11, 25))) == 0


def test_the_schema_is_exact(lake: Lake) -> None:
    schema = lake.ticks("AAPL").arrow.schema
    assert schema.field("price").type == pa.decimal128(18, 8)
    assert schema.field("ts_event").type == pa.timestamp("us", tz="UTC")
    assert schema.field("date").type == pa.date32()
    assert schema == lake.ticks("IBM").arrow.schema


def test_an_empty_lake_returns_the_same_columns(lake: Lake, tmp_path: Path) -> None:
    empty = Lake(BuiltLake(tmp_path / "empty").paths.root)
    assert empty.ticks().arrow.schema == lake.ticks().arrow.schema
    assert empty.bars().arrow.schema == lake.bars().arrow.schema
    assert empty.latest().arrow.schema == lake.latest().arrow.schema
    assert empty.coverage().arrow.schema == lake.coverage().arrow.schema
    assert empty.quarantine().arrow.schema == lake.quarantine().arrow.schema
    assert (empty.count(), empty.version, empty.symbols()) == (0, 0, [])


def test_bars_of_a_minute(lake: Lake) -> None:
    first, second = lake.bars("1m", symbols="AAPL").rows()
    assert (first["open"], first["high"], first["low"], first["close"]) == (100, 102, 98, Decimal("99.5"))
    assert (first["ts"], first["ticks"], first["volume"], first["vwap"]) == (BEGIN, 4, 40, Decimal("101.5"))
    assert (second["ts"], second["open"], second["volume"]) == (BEGIN + timedelta(minutes=1), 101, 5)


def test_bars_without_volume_have_no_vwap(lake: Lake) -> None:
    assert [(bar["volume"], bar["vwap"]) for bar in lake.bars("1m", "MSFT").rows()] == [(1, 400), (0, None)]


def test_bars_are_whole_and_selected_by_their_begin(lake: Lake) -> None:
    assert [bar["ticks"] for bar in lake.bars("1h", "AAPL", start="2026-11-24T10:00", end="2026-11-24T10:31").rows()] == [5]
    assert len(lake.bars("1h", "AAPL", start="2026-11-24T10:01")) == 0
    assert [bar["ticks"] for bar in lake.bars("1m", "AAPL", end="2026-11-24T10:31").rows()] == [4]


def test_bars_follow_the_table(lake: Lake, built: BuiltLake) -> None:
    assert lake.bars("1h", "AAPL").rows()[0]["close"] == 101
    built.store([tick("AAPL", 111, 66, size=1)])
    assert lake.bars("1h", "AAPL").rows()[0]["close"] == 111
    assert lake.bars("1h", "AAPL", as_of=3).rows()[0]["close"] == 101
    assert lake.bars("1h", "AAPL", as_of=1).rows()[0]["close"] == Decimal("99.5")


def test_ticks_of_the_same_moment_are_ordered_by_partition_and_offset(tmp_path: Path) -> None:
    built = BuiltLake(tmp_path)
    built.store([tick("AAPL", price, 0, size=1) for price in (3, 1, 2)])
    lake = Lake(built.paths.root)
    bar = lake.bars().rows()[0]
    assert (bar["open"], bar["close"]) == (3, 2)
    assert prices(lake.latest()) == [2]
    assert prices(lake.asof("AAPL", "AAPL")) == [3, 1, 2]
    assert lake.asof("AAPL", "AAPL").arrow.column("price_right").to_pylist() == [2, 2, 2]


def test_absurd_sizes_affect_only_their_own_bar(tmp_path: Path) -> None:
    built = BuiltLake(tmp_path)
    built.store([tick("AAPL", 9_999_999_999, second, size=2**63 - 1) for second in range(40)])
    built.store([tick("AAPL", 7, 60, size=10**12)])
    first, second = Lake(built.paths.root).bars().rows()
    assert (first["volume"], first["vwap"], first["ticks"]) == (None, None, 40)
    assert (second["volume"], second["vwap"]) == (10**12, 7)


def test_the_latest_tick_of_each_symbol(lake: Lake) -> None:
    assert [(row["symbol"], row["price"]) for row in lake.latest().rows()] == [("AAPL", 101), ("MSFT", 401)]
    assert [(row["symbol"], row["price"]) for row in lake.latest(as_of=1).rows()] == [("AAPL", Decimal("99.5"))]
    assert lake.symbols() == ["AAPL", "MSFT"]


def test_the_latest_tick_of_some_symbols(lake: Lake) -> None:
    assert lake.latest("MSFT").arrow == lake.latest(["MSFT"]).arrow == lake.latest().arrow.slice(1)
    assert len(lake.latest("IBM")) == 0


def test_an_asof_join_of_two_symbols(lake: Lake) -> None:
    joined = lake.asof("AAPL", "MSFT")
    assert joined.arrow.column("price_right").to_pylist() == [None, 400, 400, 400, 400]
    aged = lake.asof("AAPL", "MSFT", tolerance="20s").arrow.column("price_right").to_pylist()
    assert aged == [None, 400, 400, None, None]


def test_an_asof_join_by_symbol_and_one_across_symbols(lake: Lake) -> None:
    bars = lake.bars("1m")
    joined = lake.asof(lake.ticks(), bars)
    assert joined.columns[-8:] == ["ts", "open", "high", "low", "close", "volume", "vwap", "ticks"]
    assert [row["ticks"] for row in joined.rows() if row["symbol"] == "AAPL"] == [4, 4, 4, 4, 1]
    across = lake.asof(lake.ticks("MSFT"), lake.ticks("AAPL"), by=None)
    assert across.arrow.column("symbol_right").to_pylist() == ["AAPL", "AAPL"]


def test_an_asof_join_without_a_time_or_column_is_refused(lake: Lake) -> None:
    with pytest.raises(fl.RequestError, match="must be a column of both"):
        lake.asof(lake.ticks(), lake.ticks(), by="exchange")
    with pytest.raises(fl.RequestError, match="without ts_event or ts"):
        lake.asof(lake.ticks(), lake.sql("SELECT symbol FROM latest"))
    with pytest.raises(fl.RequestError, match="two columns named 'symbol'"):
        lake.asof("AAPL", "MSFT", suffix="")


def test_time_travel_by_version_and_by_time(lake: Lake) -> None:
    committed = {row["version"]: row["ts"] for row in lake.history().rows()}
    assert [lake.count(as_of=version) for version in range(4)] == [0, 3, 5, 7]
    assert lake.version_at(committed[2]) == 2
    assert lake.version_at(committed[2] - timedelta(milliseconds=1)) in {0, 1}
    assert lake.version_at("2100-01-01") == lake.version == 3
    assert lake.version_at("2") == 2


@pytest.mark.parametrize(
    ("as_of", "what"),
    [
        (99, "no version 99 yet"),
        (-1, "not a version"),
        (True, "not a version"),
        ("noon", "is not a time"),
        ("1999-01-01", "begins with"),
        ("0001-01-01T00:00+01:00", "not within the years 1 to 9999"),
        ("9" * 5000, "is not a time"),
    ],
)
def test_an_invalid_as_of_is_refused(lake: Lake, as_of: int | str, what: str) -> None:
    with pytest.raises(fl.RequestError, match=what):
        lake.ticks(as_of=as_of)


def test_the_quarantine_is_read_as_of_the_ticks_version(lake: Lake) -> None:
    assert [row["kafka_offset"] for row in lake.quarantine().rows()] == [5, 2]
    assert len(lake.quarantine(as_of=0)) == 0
    assert len(lake.quarantine(as_of=1)) == len(lake.quarantine(as_of=2)) == 1
    assert len(lake.quarantine("price_type", limit=1)) == 1
    assert len(lake.quarantine("o'clock")) == 0


def test_history_has_what_each_version_added(lake: Lake) -> None:
    rows = lake.history().rows()
    assert [(row["version"], row["rows"], row["total"]) for row in rows] == [(3, 2, 7), (2, 2, 5), (1, 3, 3), (0, 0, 0)]
    assert len(lake.history(limit=2)) == 2
    assert lake.history(as_of=1).rows()[0]["version"] == 1


def test_history_has_the_total_after_maintenance(lake: Lake, built: BuiltLake) -> None:
    DeltaTable(str(built.paths.ticks)).optimize.compact()
    (row,) = lake.history(limit=1).rows()
    assert (row["version"], row["rows"], row["total"]) == (4, 0, 7)


@pytest.mark.parametrize("ask", ["quarantine", "history"])
def test_a_negative_limit_is_refused(lake: Lake, ask: str) -> None:
    with pytest.raises(fl.RequestError, match="limit=-1 is not a number of rows"):
        getattr(lake, ask)(limit=-1)


def test_coverage_has_ticks_silence_and_missing_numbers(lake: Lake) -> None:
    minutes = {(row["symbol"], row["ts"]): row for row in lake.coverage().rows()}
    minute = minutes["AAPL", BEGIN]
    assert (minute["ticks"], minute["silence"], minute["missing"]) == (4, timedelta(seconds=20), 3)
    assert minutes["MSFT", BEGIN]["silence"] is None
    assert minutes["MSFT", BEGIN + timedelta(minutes=1)]["silence"] == timedelta(minutes=1)
    assert lake.coverage("AAPL", start="2026-11-24T10:31").rows()[0]["silence"] == timedelta(seconds=25)
    assert [row["missing"] for row in lake.coverage("AAPL").rows()] == [3, 0]  # the numbers before the last minute are MSFT's


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [([5, 6, 7], 0), ([0, 1, 3], 1), ([0, 1, 1, 3], 1), ([7], 0), ([0, 2**63 - 1], 2**63 - 2)],
)
def test_coverage_finds_gaps_in_any_numbering(tmp_path: Path, numbers: list[int], missing: int) -> None:
    built = BuiltLake(tmp_path)
    built.store([tick("AAPL", 1, place, seq=number, source="odd") for place, number in enumerate(numbers)])
    built.store([tick("AAPL", 1, place, seq=place, source="even") for place in range(5)])
    assert sum(row["missing"] for row in fl.open(tmp_path).coverage("AAPL").rows()) == missing


def test_since_returns_the_ticks_added_after_a_version(lake: Lake, built: BuiltLake) -> None:
    assert prices(lake.since(2)) == [98, 101]
    assert prices(lake.since(0, "MSFT")) == [400, 401]
    assert len(lake.since(3)) == 0
    DeltaTable(str(built.paths.ticks)).create_checkpoint()
    for version in (0, 1):
        (built.paths.ticks / "_delta_log" / f"{version:020d}.json").unlink()
    with pytest.raises(fl.RequestError, match="can no longer be listed"):
        lake.since(0)


def test_since_refuses_a_version_whose_files_were_removed(lake: Lake, built: BuiltLake) -> None:
    DeltaTable(str(built.paths.ticks)).optimize.compact()
    DeltaTable(str(built.paths.ticks)).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert len(lake.since(3)) == 0
    with pytest.raises(fl.RequestError, match="can no longer be listed"):
        lake.since(1)


def test_a_version_before_the_log_begins_is_a_request_error(lake: Lake, built: BuiltLake) -> None:
    begin_log_with(built, TICKS, 3)
    with pytest.raises(fl.RequestError, match="Version 2 is no longer available: the log begins with version 3"):
        lake.ticks(as_of=2)
    assert len(lake.ticks(as_of=3)) == 7


def test_a_quarantine_whose_log_begins_later_is_a_request_error(lake: Lake, built: BuiltLake) -> None:
    begin_log_with(built, QUARANTINE, 2)
    assert len(lake.quarantine(as_of=3)) == 2
    with pytest.raises(fl.RequestError, match="no longer available"):
        lake.quarantine(as_of=2)
    assert len(lake.ticks(as_of=2)) == 5


def begin_log_with(built: BuiltLake, name: str, version: int) -> None:
    """Clean up a table's log, as happens after its retention."""
    folder = built.paths.table(name)
    DeltaTable(str(folder)).create_checkpoint()
    for earlier in range(version):
        (folder / "_delta_log" / f"{earlier:020d}.json").unlink()


def test_a_batch_committed_only_to_the_quarantine_is_not_visible(lake: Lake, built: BuiltLake) -> None:
    start = built.plan(2)
    files = built.write([BAD, tick("AAPL", 1, 80)], 0, start)
    built.commit(QUARANTINE, files)
    assert len(lake.quarantine()) == 2
    built.commit(TICKS, files)
    assert len(lake.quarantine()) == 3


def test_since_does_not_return_compacted_ticks_again(lake: Lake, built: BuiltLake) -> None:
    before = lake.bars("1m").arrow
    DeltaTable(str(built.paths.ticks)).optimize.compact()
    assert lake.version == 4
    assert len(lake.since(3)) == 0
    assert len(lake.since(2)) == 2
    assert (lake.count(), lake.bars("1m").arrow) == (7, before)


def test_a_version_whose_files_were_removed_is_refused(lake: Lake, built: BuiltLake) -> None:
    DeltaTable(str(built.paths.ticks)).optimize.compact()
    assert len(lake.ticks(as_of=2)) == 5
    DeltaTable(str(built.paths.ticks)).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(fl.RequestError, match="Version 2 can no longer be read"):
        lake.ticks(as_of=2)
    assert len(lake.ticks()) == 7


def test_results_convert_to_other_libraries(lake: Lake) -> None:
    result = lake.ticks("AAPL")
    assert result.pl().schema["price"] == pl.Decimal(18, 8)
    assert pl.DataFrame(result).equals(result.pl())
    assert pa.table(result) == result.arrow
    assert result.df()["price"].sum() == Decimal("500.5")
    with duckdb.connect() as connection:
        assert result.relation(connection).aggregate("max(price)").fetchall() == [(Decimal("102.00000000"),)]
    assert repr(result).startswith("Result(5 rows as of version 3: symbol, price")


def test_batches_have_the_same_rows(lake: Lake) -> None:
    count, schema, batches = lake.batches("AAPL")
    assert count == 5
    assert pa.Table.from_batches(batches, schema) == lake.ticks("AAPL").arrow


@pytest.mark.parametrize("name", ["", "A" * 65, "A ", "A'; DROP", "-A", "\x1b[31m"])
def test_an_invalid_symbol_is_refused(lake: Lake, name: str) -> None:
    with pytest.raises(fl.RequestError, match="is not a symbol"):
        lake.ticks(name)


@pytest.mark.parametrize("size", ["", "m", "0m", "2w", "5mo", "2d", "1.5h", "-1m", "1 m", "1441m"])
def test_an_invalid_bar_size_is_refused(lake: Lake, size: str) -> None:
    with pytest.raises(fl.RequestError, match="is not a bar size"):
        lake.bars(size)


def test_times_in_the_wrong_order_are_refused(lake: Lake) -> None:
    with pytest.raises(fl.RequestError, match="is after"):
        lake.ticks(start="2026-11-25", end="2026-11-24")


def test_symbols_may_be_a_list(lake: Lake) -> None:
    assert lake.ticks(["AAPL", "MSFT"]).arrow == lake.ticks("AAPL", "MSFT").arrow == lake.ticks().arrow
    with pytest.raises(fl.RequestError, match="5 is not a symbol"):
        lake.ticks("AAPL", 5)  # type: ignore[arg-type]


def test_a_missing_lake_is_reported_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(fl.NoLakeError, match="`make local` or `make up`"):
        fl.open(tmp_path)


def test_the_environment_sets_the_folder_of_the_lake(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(built.paths.root))
    assert fl.open().count() == 7


def test_threads_may_share_a_lake(lake: Lake) -> None:
    expected = {size: lake.bars(size).arrow for size in ("1s", "5s", "1m", "1h")}
    sizes = list(expected) * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda size: lake.bars(size).arrow, sizes))
        counted = list(pool.map(lambda _: lake.sql("SELECT count(*) AS n FROM ticks").rows()[0]["n"], range(8)))
    assert all(bars.equals(expected[size]) for size, bars in zip(sizes, found, strict=True))
    assert counted == [7] * 8


def test_a_missing_data_file_is_reported(lake: Lake, built: BuiltLake) -> None:
    built.files(TICKS)[0].unlink()
    with pytest.raises(fl.UnreadableError, match="`make verify` shows"):
        lake.ticks()


def test_a_log_that_names_a_file_outside_of_the_table_is_refused(lake: Lake, built: BuiltLake) -> None:
    entry = built.paths.ticks / "_delta_log" / f"{3:020d}.json"
    entry.write_text(entry.read_text().replace("date=2026-11-24/", "../../date=2026-11-24/"))
    with pytest.raises(fl.UnreadableError, match="outside of the table"):
        lake.ticks()


def test_a_folder_name_is_not_a_pattern(tmp_path: Path) -> None:
    built = BuiltLake(tmp_path / "[a]* 'b'?")
    built.store([tick("AAPL", 1, 0)])
    lake = Lake(built.paths.root)
    assert len(lake.ticks()) == 1
    assert lake.sql("SELECT count(*) AS n FROM ticks").rows() == [{"n": 1}]


def test_only_files_that_may_contain_the_selection_are_read(lake: Lake, built: BuiltLake) -> None:
    first = next(path for path in built.files(TICKS) if pl.read_parquet(path, columns=["symbol"])["symbol"][0] == "MSFT")
    first.unlink()
    assert len(lake.ticks("AAPL")) == 5


def test_since_reads_no_file_outside_of_the_table(lake: Lake, built: BuiltLake) -> None:
    newest = built.paths.ticks / "_delta_log" / f"{3:020d}.json"
    newest.write_text(newest.read_text().replace('"path":"date=', '"path":"../../date='))
    with pytest.raises(fl.UnreadableError, match="outside of the table"):
        lake.since(2)


def test_the_public_api_is_exported(built: BuiltLake) -> None:
    with fl.Lake(built.paths.root) as lake:
        result = lake.sql("SELECT 1 AS one", limits=fl.Limits(seconds=5))
    assert isinstance(result, fl.Result)
    assert {"Lake", "Limits", "Result"} <= set(fl.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        fl.Nothing  # noqa: B018
