"""`financelake sources`: rows, times, ledger and state of each source."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from typer.testing import CliRunner

from finance_lake.cli import app
from finance_storage.ledger import LedgerWriter, ledger_file
from tests.unit.lake.conftest import BEGIN, SOURCE, tick

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.lakes import BuiltLake


def _ledger(root: Path, source: str, ticks: int, **ending: int) -> None:
    writer = LedgerWriter(ledger_file(root, source), {"source": source, "topic": "finance", "file": "trades.csv"})
    writer.note([(0, ticks - 1)], [])
    writer.close(acknowledged=ticks, **ending)


def _listed(built: BuiltLake) -> dict[str, dict[str, object]]:
    result = CliRunner().invoke(app, ["sources", "--json", "--data", str(built.paths.root)])
    assert result.exit_code == 0, result.output
    return {row["source"]: row for row in json.loads(result.output)}


def test_each_source_is_compared_with_its_ledger(built: BuiltLake) -> None:
    built.store([tick("AAPL", 100, second, seq=second, source="file-1") for second in range(3)])
    built.store([tick("AAPL", 100, 0)])
    _ledger(built.paths.root, "file-1", 3, whole=1)
    _ledger(built.paths.root, "file-2", 5, whole=0)
    rows = _listed(built)
    assert {source: (row["rows"], row["acknowledged"], row["state"]) for source, row in rows.items()} == {
        SOURCE: (7, None, "no ledger"),
        "": (1, None, "no ledger"),
        "file-1": (3, 3, "complete"),
        "file-2": (0, 5, "5 not in the table (yet)"),
    }
    assert list(rows)[-1] == "file-2"
    assert rows["file-1"]["file"] == "trades.csv"
    assert rows["file-1"]["first"] == BEGIN.isoformat().replace("+00:00", "Z")


def test_a_stopped_import_is_named(built: BuiltLake) -> None:
    built.store([tick("AAPL", 100, 0, seq=0, source="file-1")])
    _ledger(built.paths.root, "file-1", 1, whole=0)
    assert _listed(built)["file-1"]["state"] == "stopped before the end of its file"


def test_the_table_is_printed(built: BuiltLake) -> None:
    result = CliRunner().invoke(app, ["sources", "--data", str(built.paths.root)])
    assert result.exit_code == 0
    assert SOURCE in result.output
    assert "no ledger" in result.output
