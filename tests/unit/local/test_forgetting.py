"""`financelake forget` says what it would take, in the user's time zone, before anything is changed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import typer
from typer.testing import CliRunner

from finance_contract import Tick
from finance_contract.tick import encode
from finance_local.forgetting import forget
from tests.support.lakes import BuiltLake

if TYPE_CHECKING:
    from pathlib import Path


def test_forget_shows_the_times_of_a_source_in_a_zone_and_asks(tmp_path: Path) -> None:
    built, app = BuiltLake(tmp_path / "data"), typer.Typer()
    built.store([encode(Tick("AAPL", Decimal(1), ts_event=1_795_516_200 * 10**9, seq=0, source="file-1"))])
    app.command()(forget)
    shown = CliRunner().invoke(app, ["file-1", "--data", str(built.paths.root), "--tz", "Asia/Kathmandu"])
    assert "file-1: 1 ticks from 2026-11-24 16:15:00 +0545 to 2026-11-24 16:15:00 +0545." in shown.output
    assert shown.exit_code == 2, "nobody could be asked"
