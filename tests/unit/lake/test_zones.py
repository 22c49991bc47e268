"""`--tz`: the commands show times in a zone; JSON stays UTC."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_lake.cli import app

if TYPE_CHECKING:
    from tests.support.lakes import BuiltLake

ZONE = "Asia/Kathmandu"
SHOWN = "2026-11-24 16:15"


def output(built: BuiltLake, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--data", str(built.paths.root), "--tz", ZONE])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "command",
    [("bars",), ("show",), ("sql", "SELECT symbol, ts FROM bars_1m")],
    ids=lambda command: command[0],
)
def test_times_are_shown_in_the_zone(built: BuiltLake, command: tuple[str, ...]) -> None:
    shown = output(built, *command)
    assert SHOWN in shown
    assert f"({ZONE})" in shown
    assert "UTC" not in shown


def test_more_commands_show_the_zone(built: BuiltLake) -> None:
    assert f"ts ({ZONE})" in output(built, "history")
    assert "16:15:00" in output(built, "tail", "--count", "1")
    assert "+0545" in output(built, "bars", "AAPL", "--chart") or SHOWN in output(built, "bars", "AAPL", "--chart")
    assert "+05:45" in output(built, "quarantine")
    assert "+05:45" in output(built, "sources")


def test_days_and_bounds_of_bars_are_those_of_the_zone(built: BuiltLake) -> None:
    assert "2026-11-24 00:00:00+05:45" in output(built, "bars", "--size", "1d")
    assert "AAPL" not in output(built, "bars", "AAPL", "--start", "2026-11-24T16:17")
    assert "AAPL" in output(built, "bars", "AAPL", "--start", "2026-11-24T16:15")


def test_json_has_utc(built: BuiltLake) -> None:
    assert json.loads(output(built, "bars", "--json"))["rows"][0]["ts"] == "2026-11-24T10:30:00Z"


def test_an_unknown_zone_or_exchange_is_refused(built: BuiltLake) -> None:
    for option in (("--tz", "Mars"), ("--session", "MARS")):
        result = CliRunner().invoke(app, ["bars", "--data", str(built.paths.root), *option])
        assert result.exit_code == 2
        assert "is not a" in result.output
