"""Lakes in folders with unusual names: every answer is the same as in a plain folder."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import finance_lake as fl
from finance_job.repair import rewrite
from finance_job.transaction import live_files
from finance_lake.cli import app
from finance_storage.delta_table import open_table
from finance_storage.paths import TICKS
from tests.support.nasty_paths import NASTY, REFUSED
from tests.unit.lake.conftest import story

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.lakes import BuiltLake

# Several unusual names at once, for slower tests.
WORST = "date=2026-11-25/symbol=X/ a,b *[c]?\"q' é中#%{x}$HOME&;/s3:/-x"
COMMITTED = re.compile(r'"ts":"[^"]+"')
COMMANDS = [
    ["show"],
    ["bars", "--json"],
    ["bars", "AAPL", "--as-of", "1", "--json"],
    ["history", "--json"],
    ["sql", "SELECT min(date), max(date), count(DISTINCT symbol), sum(price) FROM ticks", "--json"],
    ["sql", "SELECT count(*) FROM ticks WHERE date = '2026-11-24' AND symbol = 'AAPL'", "--json"],
    ["sql", "FROM latest", "--json"],
    ["sql", "SELECT reason, value FROM quarantine", "--json"],
    ["tail", "--count", "3", "--json"],
    ["verify", "--no-broker"],
    ["quarantine", "--json"],
]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("DATA_DIR", "KAFKA_BOOTSTRAP", "KAFKA_PORT", "KAFKA_TOPIC"):
        monkeypatch.delenv(key, raising=False)


def _place(folder: Path, name: str) -> Path:
    """Return a folder of that name, beside others that a pattern would match."""
    for decoy in ("a", "b", "axb", "c"):
        (folder / decoy).mkdir(parents=True)
    return folder / name / "data"


def _answers(lake: fl.Lake) -> list[Any]:
    """Call every method."""
    results = [
        lake.ticks(),
        lake.bars("1m"),
        lake.latest(),
        lake.coverage(),
        lake.since(1),
        lake.ticks(as_of=1),
        lake.quarantine(),
    ]
    return [*(result.arrow.to_pylist() for result in results), lake.symbols(), lake.count()]


@pytest.mark.parametrize("name", NASTY.values(), ids=NASTY)
def test_the_lake_class_gives_the_same_answers_in_every_folder(built: BuiltLake, tmp_path: Path, name: str) -> None:
    odd = story(_place(tmp_path / "odd", name))
    with fl.open(built.paths.root) as plain, fl.open(odd.paths.root) as lake:
        assert _answers(lake) == _answers(plain)
    assert json.loads(_run(odd, "verify", "--no-broker", "--json").stdout)["code"] == 0
    table = open_table(odd.paths.ticks)
    assert table is not None
    rows = [rewrite.read(TICKS, odd.paths.ticks, file).num_rows for file in live_files(table)]  # as maintenance does
    assert sum(rows) == 7


def _run(built: BuiltLake, *arguments: str) -> Any:  # noqa: ANN401 (typer's Result is click's)
    result = CliRunner().invoke(app, [*arguments, "--data", str(built.paths.root)])
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_each_command_prints_the_same_in_every_folder(built: BuiltLake, tmp_path: Path, arguments: list[str]) -> None:
    odd = story(_place(tmp_path / "odd", WORST))
    output, expected = (_run(lake, *arguments).stdout.replace(str(lake.paths.root), "") for lake in (odd, built))
    if "history" in arguments:
        output, expected = (COMMITTED.sub("", text) for text in (output, expected))
    assert output == expected


@pytest.mark.parametrize("ending", ["csv", "parquet", "arrow"])
def test_an_export_from_and_to_such_a_folder_has_every_row(tmp_path: Path, ending: str) -> None:
    odd = story(_place(tmp_path, WORST))
    target = odd.paths.root / f"*[x]?{'n' * 150}.{ending}"
    _run(odd, "export", str(target))
    with target.open("rb") as file:
        if ending == "arrow":
            rows = pa.ipc.open_file(file).read_all()
        else:
            rows = pyarrow.csv.read_csv(file) if ending == "csv" else pq.read_table(file)
    assert sorted(set(rows.column("symbol").to_pylist())) == ["AAPL", "MSFT"]
    assert rows.num_rows == 7


def test_an_unreadable_file_is_named_by_its_real_path(tmp_path: Path) -> None:
    odd = story(_place(tmp_path, "a*b"))
    file = odd.files(TICKS)[0]
    file.write_bytes(b"PAR1 and nothing else")
    with fl.open(odd.paths.root) as lake:
        with pytest.raises(fl.UnreadableError, match="The tables cannot be read") as engine:
            lake.ticks()
        with pytest.raises(fl.UnreadableError, match="The tables cannot be read") as sandbox:
            lake.sql("SELECT sum(price) FROM ticks")
    assert "financelake-path-" not in f"{engine.value} {sandbox.value}"


@pytest.mark.parametrize("name", REFUSED, ids=ascii)
def test_a_folder_whose_name_deltalake_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(fl.RequestError, match=r"The lake's folder .* has .*: choose another folder, or rename it"):
        fl.open(tmp_path / name)
    for command in ("show", "bars", "history", "quarantine", "verify", "status", "doctor"):
        result = CliRunner().invoke(app, [command, "--data", str(tmp_path / name)])
        assert result.exit_code == 2
        assert "choose another" in " ".join(result.stderr.replace("│", " ").split())
        assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "path", ["*.parquet", "date=2026-11-24/part-?.parquet", "symbol=X/date=2026-11-24/p.parquet", "[a].parquet", "a\\b.parquet"]
)
def test_a_data_file_whose_name_an_engine_would_misread_is_not_read(built: BuiltLake, path: str) -> None:
    entry = max((built.paths.ticks / "_delta_log").glob("*.json"))
    entry.write_text(re.sub(r'"path":"[^"]+"', lambda _: f'"path":{json.dumps(path)}', entry.read_text()))
    with fl.open(built.paths.root) as lake, pytest.raises(fl.UnreadableError, match="which is not a valid data file name"):
        lake.ticks()
