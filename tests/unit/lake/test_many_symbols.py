"""A lake with 100,000 symbols over decades: page and command stay usable."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import psutil
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from finance_lake.cli import app
from finance_lake.cli import bars as command
from finance_lake.dashboard import watch_list
from finance_lake.dashboard.panels import Panels
from finance_lake.lake import Lake
from finance_lake.query.engine import Engine
from tests.support.lakes import BuiltLake
from tests.unit.lake.conftest import tick

if TYPE_CHECKING:
    from pathlib import Path

MANY = 100_000
USABLE_SECONDS = 15
SPAN = timedelta(days=9_000).total_seconds()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> BuiltLake:
    lake = BuiltLake(tmp_path_factory.mktemp("many") / "data")
    for part in range(5):
        numbers = range(part, MANY, 5)
        lake.store([tick(f"S{number:06}", 1 + number % 100, -number * SPAN / MANY) for number in numbers])
    return lake


def test_the_page_is_usable_and_its_memory_bounded(many: BuiltLake) -> None:
    shown, used = Panels(many.paths, Engine(256)), psutil.Process().memory_info().rss
    for _ in range(2):
        began = time.monotonic()
        answer = shown.latest()
        assert time.monotonic() - began < USABLE_SECONDS
    assert (len(answer["symbols"]), answer["cut"]) == (watch_list.MAX_SYMBOLS, True)
    assert [entry["symbol"] for entry in answer["symbols"][:2]] == ["S000000", "S000001"]
    assert len(json.dumps(answer)) < 2_000_000
    assert shown.bars("S099999", "1m")["bars"][0]["ticks"] == 1
    assert psutil.Process().memory_info().rss - used < 400 * 1024**2


@pytest.mark.parametrize("form", [[], ["--chart"], ["--start", "1900-01-01"], ["--last", "1"]], ids=str)
def test_the_command_without_symbols_is_bounded_and_says_so(many: BuiltLake, form: list[str]) -> None:
    began = time.monotonic()
    result = CliRunner().invoke(app, ["bars", "--data", str(many.paths.root), *form])
    assert time.monotonic() - began < USABLE_SECONDS
    assert result.exit_code == 0
    assert "Showing the first 100 of 100,000 symbols" in result.stderr
    assert "S000099" in result.stdout
    assert "S000100" not in result.stdout


def test_a_named_symbol_is_shown_and_json_has_all(many: BuiltLake) -> None:
    named = CliRunner().invoke(app, ["bars", "S099999", "--data", str(many.paths.root)])
    assert "S099999" in named.stdout
    assert "Showing" not in named.stderr
    everything = CliRunner().invoke(app, ["bars", "--json", "--data", str(many.paths.root)])
    answer = json.loads(everything.stdout)
    assert (len(answer["rows"]), answer["cut"]) == (MANY, False)
    assert answer["rows"][-1]["symbol"] == "S099999"


@given(counts=st.lists(st.integers(1, 5), max_size=6), symbols=st.integers(0, 6), most=st.integers(1, 6))
def test_bars_are_cut_to_the_newest_of_each_of_the_first_symbols(counts: list[int], symbols: int, most: int) -> None:
    rows = [(f"S{symbol}", number) for symbol, count in enumerate(counts) for number in range(count)]
    table = pa.table(
        {"symbol": pa.array([symbol for symbol, _ in rows], pa.string()), "n": pa.array([n for _, n in rows], pa.int64())}
    )
    per_symbol = command._bars_per_symbol(table)  # noqa: SLF001
    newest = command._newest(table, per_symbol.slice(0, symbols), most)  # noqa: SLF001
    expected = [(f"S{symbol}", n) for symbol, count in enumerate(counts[:symbols]) for n in range(count)[-most:]]
    assert list(zip(*(column.to_pylist() for column in newest.columns), strict=True)) == expected


def test_a_cut_watch_list_is_the_beginning_of_the_full_one(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    day = timedelta(days=1).total_seconds()
    built.store(
        [tick("AAPL", 90, -40 * day), tick("IBM", 10, -30 * day), tick("IBM", 12, -30 * day + 60), tick("IBM", 5, -31 * day)]
    )
    whole = Panels(built.paths, Engine()).latest()
    assert [(entry["symbol"], entry["price"], entry["change"]) for entry in whole["symbols"]] == [
        ("AAPL", "101.00", "1.00"),
        ("IBM", "12.00", "7.00"),
        ("MSFT", "401.00", "1.00"),
    ]
    monkeypatch.setattr(watch_list, "MAX_SYMBOLS", 2)
    cut = Panels(built.paths, Engine()).latest()
    assert (cut["symbols"], cut["cut"], whole["cut"]) == (whole["symbols"][:2], True, False)


def test_a_lake_without_ticks_has_an_empty_watch_list(tmp_path: Path) -> None:
    empty = BuiltLake(tmp_path / "data")
    assert Panels(empty.paths, Engine()).latest()["symbols"] == []


def test_symbols_are_sorted_and_limited(built: BuiltLake) -> None:
    with Lake(built.paths.root) as lake:
        assert [lake.symbols(limit=limit) for limit in (None, 5, 1, 0)] == [["AAPL", "MSFT"], ["AAPL", "MSFT"], ["AAPL"], []]
