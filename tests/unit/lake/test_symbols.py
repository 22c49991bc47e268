"""Symbols of contract version 2 in queries, in the dashboard's addresses and in suggested commands: each is taken literally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from finance_lake.cli import app
from finance_lake.dashboard.app import Dashboard
from finance_lake.lake import Lake
from tests.support.lakes import BuiltLake
from tests.unit.lake.conftest import tick

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = [
    *(
        "AAPL",
        "aapl",
        "AAPL  251219C00150000",
        "AAPL 251219C00150000",
        "BRK/B US",
        "^GSPC",
        "@ES#",
        "$F",
        "..",
        "A*",
        "a:b=c+d&e",
    ),
    *("X" * 63 + "1", "X" * 63 + "2"),
]


@pytest.fixture
def mixed(tmp_path: Path) -> BuiltLake:
    built = BuiltLake(tmp_path)
    built.store([tick(symbol, number + 1, number) for number, symbol in enumerate(SYMBOLS)])
    return built


def test_each_symbol_selects_its_own_ticks(mixed: BuiltLake) -> None:
    lake = Lake(mixed.paths.root)
    assert lake.symbols() == sorted(SYMBOLS)
    for number, symbol in enumerate(SYMBOLS):
        assert lake.ticks(symbol).arrow.column("price").to_pylist() == [number + 1]
        assert len(lake.bars("1m", symbol).arrow) == 1
    lake.close()


@pytest.mark.parametrize("symbol", ["A*", "$F", "AAPL  251219C00150000"])
def test_a_suggested_command_quotes_the_symbol_for_the_shell(mixed: BuiltLake, symbol: str) -> None:
    result = CliRunner().invoke(app, ["bars", symbol, "--data", str(mixed.paths.root)])
    assert result.exit_code == 0
    assert f"`financelake bars '{symbol}' --chart" in result.stderr


def test_a_symbol_in_another_case_is_named_as_such(mixed: BuiltLake) -> None:
    result = CliRunner().invoke(app, ["bars", "brk/b us", "--data", str(mixed.paths.root)])
    assert result.exit_code == 2
    assert "Did you mean BRK/B US? Case matters." in result.stderr


def test_the_dashboard_finds_each_symbol_by_its_address(mixed: BuiltLake) -> None:
    with TestClient(Dashboard(mixed.paths).app, base_url="http://127.0.0.1:8050") as client:
        for symbol in SYMBOLS:
            answer = client.get("/api/bars", params={"symbol": symbol}).json()
            assert (answer["symbol"], len(answer["bars"])) == (symbol, 1)
