"""The commands: output, streams and exit codes."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from finance_lake import status
from finance_lake.cli import app
from finance_lake.cli.sql import shell
from finance_lake.cli.tail import ticks
from finance_lake.export import write
from finance_lake.lake import Lake
from finance_storage.errors import NoLakeError, UnreadableError
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, BuiltLake, no_broker
from tests.unit.lake.conftest import tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result

    from finance_kafka.describe import TopicDescription

SETTINGS = ("DATA_DIR", "KAFKA_BOOTSTRAP", "KAFKA_PORT", "KAFKA_TOPIC", "ZOOKEEPER_PORT", "SPARK_UI_PORT")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in SETTINGS:
        monkeypatch.delenv(key, raising=False)


@pytest.fixture(autouse=True)
def _broker(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Describe the lake's topic without a broker."""

    def ask(*_: object) -> TopicDescription:
        return built.broker

    monkeypatch.setattr(status, "describe_topic_quickly", ask)


def run(built: BuiltLake, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(built.paths.root)], input=text)


def rows_of(seen: dict[str, object]) -> list[dict[str, object]]:
    rows = seen["rows"]
    assert isinstance(rows, list)
    return rows


def parsed(result: Result) -> dict[str, object]:
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


COMMANDS = [
    ["status"],
    ["show"],
    ["bars"],
    ["bars", "AAPL", "--chart"],
    ["history"],
    ["sql", "SELECT count(*) AS n FROM ticks"],
    ["tail", "--count", "1"],
    ["verify", "--no-broker"],
    ["quarantine"],
    ["export", "ticks.csv"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_each_command_ends_with_a_hint(
    built: BuiltLake, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(built, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout
    assert result.stderr.splitlines()[-1].startswith("Next: `")


@pytest.mark.parametrize("arguments", [command for command in COMMANDS if "--chart" not in command], ids=" ".join)
def test_json_is_json_and_nothing_else(
    built: BuiltLake, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parsed(run(built, *arguments, "--json"))


def test_only_commands_that_open_a_page_have_no_json() -> None:
    commands = [
        command.callback
        for command in app.registered_commands
        if command.callback and command.callback.__module__.startswith("finance_lake.")  # a checkout adds commands of its own
    ]
    without = {command.__name__ for command in commands if "as_json" not in inspect.signature(command).parameters}
    assert without == {"serve", "notebook"}


@pytest.mark.parametrize("arguments", [*COMMANDS, ["notebook"]], ids=" ".join)
def test_without_a_lake_the_command_that_makes_one_is_named(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "`make local` or `make up`" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [*COMMANDS, ["notebook"]], ids=" ".join)
def test_a_lake_without_ticks_names_the_command_that_fills_it(
    tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finance_lake.cli.tail.ticks", lambda *_: iter(()))  # it would wait for the first tick
    monkeypatch.setattr(subprocess, "run", None)  # it would open the notebook
    result = run(BuiltLake(tmp_path / "empty"), *arguments)
    assert result.exit_code == (2 if arguments[0] in {"bars", "export", "notebook"} else 0)
    assert "`make local` or `make up` fills it" in result.stderr


def test_tail_names_a_symbol_that_the_lake_does_not_have(built: BuiltLake) -> None:
    result = run(built, "tail", "AAPL", "MSFTT", "--count", "1")
    assert result.exit_code == 0
    assert "The lake has no ticks of MSFTT." in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bars", "aapl"], "Did you mean AAPL?"),
        (["bars", "IBM"], "The lake has no ticks of IBM. It has AAPL, MSFT."),
        (["bars", "AAPL", "MSFTT"], "The lake has no ticks of MSFTT. It has AAPL, MSFT."),
        (["export", "/nowhere/x.csv", "--symbol", "AAPL", "--symbol", "MSFTT"], "The lake has no ticks of MSFTT."),
        (
            ["export", "/nowhere/x.csv", "--symbol", "AAPL", "--symbol", "MSFTT", "--bars", "1m"],
            "The lake has no ticks of MSFTT.",
        ),
        (["bars", "--size", "7w"], "is not a bar size"),
        (["bars", "--start", "noon"], "is not a time"),
        (["bars", "--as-of", "99"], "no version 99 yet"),
        (["sql", "SELEC 1"], "syntax error"),
        (["sql", "DELETE FROM ticks"], "Only SELECT is allowed"),
        (["sql", "SELECT * FROM read_text('/etc/passwd')"], "The table function 'read_text' is not allowed"),
        (["sql", "SELECT * FROM read_parquet('/etc/passwd')"], "disabled by configuration"),
        (["sql", "SELECT list_sum(range(1000000000))", "--seconds", "2"], "The query "),
        (["tail", "x,y"], "is not a symbol"),
        (["export", "x.xls"], "use the ending .parquet, .csv or .arrow"),
        (["export", "/nowhere/x.csv"], "cannot be written"),
        (["export", "/x.csv/", "--as-of", "never"], "is not a time"),
    ],
)
def test_bad_arguments_print_a_message_and_exit_with_2(built: BuiltLake, arguments: list[str], message: str) -> None:
    result = run(built, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize("damage", [torn, os.unlink], ids=["torn", "missing"])
@pytest.mark.parametrize(("command", "table"), [("bars", TICKS), ("show", TICKS), ("quarantine", QUARANTINE)])
def test_a_damaged_data_file_prints_a_message_and_exits_with_1(
    built: BuiltLake, command: str, table: str, damage: Callable[[Path], None]
) -> None:
    damage(built.files(table)[0])
    result = run(built, command)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "`make verify` shows what is wrong" in result.stderr


@pytest.mark.parametrize("command", ["status", "show", "quarantine"])
def test_a_damaged_quarantine_log_prints_a_message_and_exits_with_1(built: BuiltLake, command: str) -> None:
    torn(max((built.paths.quarantine / "_delta_log").glob("*.json")))
    result = run(built, command)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "finance_quarantine cannot be read" in result.stderr


def test_show_prints_the_newest_rows_and_the_totals(built: BuiltLake) -> None:
    built.arrived += timedelta(minutes=1)
    built.store([tick("MSFT", 402, 80)], partition=1)
    result = run(built, "show")
    assert result.stdout.splitlines()[1].split() == [
        "MSFT",
        "402.00",
        "2026-11-24",
        "10:31:20",
        "2026-11-24",
        "12:01:00",
        "1:2",
    ]
    assert result.stdout.splitlines()[-1].startswith("8 rows, 2 quarantined, version 4 at ")
    seen = parsed(run(built, "show", "--json"))
    assert (seen["ticks"], seen["quarantined"], seen["version"]) == (8, 2, 4)


def test_status_has_the_lag_of_the_tables(built: BuiltLake) -> None:
    seen = parsed(run(built, "status", "--json"))
    assert (seen["rows"], seen["quarantined"], seen["version"], seen["lag"]) == (7, 2, 3, 0)
    assert seen["verdict"] is None
    built.ends[0] += 5
    text = run(built, "status").stdout
    assert re.search(r"^lag +5 records, .+ behind the topic$", text, re.MULTILINE)
    assert "kafka up, producer down, spark-job down" in text


def test_status_shows_the_last_proof(built: BuiltLake) -> None:
    assert "last proof   never" in run(built, "status").stdout
    assert run(built, "verify", "--no-broker").exit_code == 0
    assert "complete, 0 lost, 0 doubled, at " in run(built, "status").stdout
    built.files(TICKS)[0].unlink()
    assert run(built, "verify", "--no-broker").exit_code == 13
    assert "last proof   corrupt" in run(built, "status").stdout


def test_status_without_a_broker_says_so(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "describe_topic_quickly", no_broker)
    result = run(built, "status")
    assert result.exit_code == 0
    assert "lag          unknown: no broker answers at 127.0.0.1:9092" in result.stdout
    assert "`make local`" in result.stderr


def test_a_verdict_that_cannot_be_saved_is_still_printed(built: BuiltLake) -> None:
    (built.paths.root / "run").write_text("a file where a folder should be")
    result = run(built, "verify", "--no-broker")
    assert (result.exit_code, result.stdout.splitlines()[-1][:8]) == (1, "complete")
    assert f"The verdict cannot be saved: {built.paths.root / 'run'} is a file, not a folder." in result.stderr


def test_bars_keep_every_digit_in_json(built: BuiltLake) -> None:
    rows = rows_of(parsed(run(built, "bars", "AAPL", "--json", "--last", "1")))
    assert (rows[0]["open"], rows[0]["ts"], len(rows)) == ("101.00000000", "2026-11-24T10:31:00Z", 1)


def hour(built: BuiltLake, minutes: int = 60) -> None:
    """Store one tick of IBM per minute."""
    built.store([tick("IBM", 10, 60 * minute, size=1) for minute in range(minutes)])


def test_bars_that_are_cut_say_so(built: BuiltLake) -> None:
    hour(built)
    result = run(built, "bars")
    assert len(result.stdout.splitlines()) == 1 + 20 + 4
    assert "Showing the newest 20 bars of each symbol, out of 64 bars" in result.stderr
    assert result.stdout.count("IBM") == 20
    assert "2026-11-24 11:29:00" in result.stdout
    assert "Showing" not in run(built, "bars", "AAPL").stderr


@pytest.mark.parametrize("arguments", [["--start", "2026-11-24"], ["--end", "2026-11-25"], ["--last", "60"]], ids=" ".join)
def test_bars_of_a_range_are_complete(built: BuiltLake, arguments: list[str]) -> None:
    hour(built)
    result = run(built, "bars", *arguments)
    assert len(result.stdout.splitlines()) == 1 + 64
    assert "Showing" not in result.stderr


def test_bars_in_json_are_complete_without_last(built: BuiltLake) -> None:
    hour(built)
    seen, cut = parsed(run(built, "bars", "IBM", "--json")), parsed(run(built, "bars", "IBM", "--json", "--last", "2"))
    assert (len(rows_of(seen)), seen["cut"]) == (60, False)
    assert (len(rows_of(cut)), cut["cut"]) == (2, True)


def test_candles_that_do_not_fit_are_reported(built: BuiltLake) -> None:
    hour(built, minutes=90)
    result = run(built, "bars", "IBM", "--chart", "--start", "2026-11-24")
    assert "IBM 1m, 66 bars" in result.stdout
    assert "Showing the newest 66 bars of each symbol, out of 90 bars" in result.stderr


@pytest.mark.parametrize(
    ("prices", "vwap"),
    [((0.00000001, 0.00000001), "0.00000001"), ((10.5, 10.51, 10.51), "10.5067"), ((1.123456, 1.123457, 1.123457), "1.123457")],
)
def test_a_vwap_has_as_many_decimals_as_the_prices(built: BuiltLake, prices: tuple[float, ...], vwap: str) -> None:
    built.store([tick("IBM", price, number, size=1) for number, price in enumerate(prices)])
    header, bar = run(built, "bars", "IBM").stdout.splitlines()
    assert bar.split()[-2] == vwap
    assert header.split()[-2] == "vwap"


def test_candles_are_drawn(built: BuiltLake) -> None:
    chart = run(built, "bars", "AAPL", "--chart").stdout
    assert "AAPL 1m, 2 bars" in chart
    assert set(chart) & set("│╿╽┃")
    assert "102.00 ┤" in chart


def test_sql_cuts_long_results_and_says_so(built: BuiltLake) -> None:
    result = run(built, "sql", "FROM ticks", "--limit", "3")
    assert "Showing the first 3 rows" in result.stderr
    assert len(result.stdout.splitlines()) == 4
    assert parsed(run(built, "sql", "FROM ticks", "--limit", "3", "--json"))["cut"] is True


def test_sql_reads_a_query_from_standard_input(built: BuiltLake) -> None:
    assert parsed(run(built, "sql", "--json", text="SELECT max(price) AS p FROM ticks"))["rows"] == [{"p": "401.00000000"}]


def test_tail_begins_with_the_newest_ticks(built: BuiltLake) -> None:
    result = run(built, "tail", "AAPL", "--lines", "2", "--count", "2")
    assert [line.split()[1:3] for line in result.stdout.splitlines()] == [["AAPL", "98.00"], ["AAPL", "101.00"]]


def test_tail_follows_the_lake_until_it_is_deleted(built: BuiltLake, lake: Lake) -> None:
    followed = ticks(lake, ["AAPL"], before=1)
    assert next(followed)["price"] == 101
    built.store([tick("MSFT", 402, 80), tick("AAPL", 103, 90)])
    assert next(followed)["price"] == 103
    shutil.rmtree(built.paths.root)
    with pytest.raises(NoLakeError, match="was deleted: `make local` or `make up`"):
        next(followed)


def test_a_csv_export_contains_no_formulas(built: BuiltLake, tmp_path: Path) -> None:
    built.store([tick("AAPL", 1, 90, source="=cmd|' /C calc'!A0"), tick("AAPL", 1, 91, source="plain=1")])
    target = tmp_path / "ticks.csv"
    run(built, "export", str(target))
    assert {"'=cmd|' /C calc'!A0", "plain=1"} <= set(pl.read_csv(target)["source"])


def test_control_characters_in_the_log_are_escaped(built: BuiltLake) -> None:
    text = "".join(path.read_text() for path in [built.paths.ticks / "_delta_log" / f"{0:020d}.json"])
    (built.paths.ticks / "_delta_log" / f"{4:020d}.json").write_text(text.replace('"protocol"', '"\\u001b]0;owned\\u0007"'))
    result = run(built, "status")
    assert result.exit_code in {0, 1}
    assert "\x1b]0" not in result.output + result.stderr


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_an_export_has_the_ticks_with_every_digit(built: BuiltLake, tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"ticks.{suffix}"
    assert parsed(run(built, "export", str(target), "--symbol", "AAPL", "--json"))["rows"] == 5
    if suffix == "csv":
        frame = pl.read_csv(target, schema_overrides={"price": pl.String})
    else:
        frame = pl.read_parquet(target) if suffix == "parquet" else pl.read_ipc(target)
    assert [str(price) for price in frame["price"]] == [
        "100.00000000",
        "102.00000000",
        "98.00000000",
        "99.50000000",
        "101.00000000",
    ]


def test_an_export_replaces_a_file_only_with_force(built: BuiltLake, tmp_path: Path) -> None:
    target = tmp_path / "bars.parquet"
    target.write_text("mine")
    refused = run(built, "export", str(target), "--bars", "1m")
    assert (refused.exit_code, target.read_text()) == (2, "mine")
    assert "--force" in refused.stderr
    assert run(built, "export", str(target), "--bars", "1m", "--force").exit_code == 0
    assert pl.read_parquet(target).height == 4


def test_an_export_that_fails_leaves_nothing(built: BuiltLake, tmp_path: Path) -> None:
    built.files(TICKS)[0].unlink()
    target = tmp_path / "ticks.parquet"
    assert run(built, "export", str(target)).exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("force", [False, True])
def test_an_export_never_leaves_a_partial_file(tmp_path: Path, *, force: bool) -> None:
    schema = pa.schema({"n": pa.int64()})

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist([{"n": 1}], schema)
        raise UnreadableError("a file is missing")

    with pytest.raises(UnreadableError):
        write(tmp_path / "n.csv", schema, batches(), force=force)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


HOSTILE = b'\x1b]0;owned\x07{"symbol": "\xe2\x80\xaeAAPL[bold red]"}\x9b31m'


@pytest.mark.parametrize(
    "arguments",
    [["quarantine"], ["sql", "FROM quarantine"], ["sql", "SELECT decode(value) AS v, chr(27) AS c FROM quarantine"]],
)
def test_control_characters_in_records_are_escaped(built: BuiltLake, arguments: list[str]) -> None:
    built.store([HOSTILE, b"\x1b[2J", BAD])
    built.store([tick("AAPL", 1, 1, source="[bold red]x[/]")])
    for command in (arguments, ["sql", "SELECT source AS \"\x1b[31m\", '\u202e' || source AS v FROM ticks"]):
        output = run(built, *command).output
        assert all(character == "\n" or character.isprintable() for character in output)
    assert "[bold red]x[/]" in output


def program(built: BuiltLake, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DATA_DIR": str(built.paths.root), "KAFKA_PORT": "1"}
    return subprocess.run([sys.executable, "-m", "finance_lake", *arguments], capture_output=True, text=True, env=environment)


def test_as_a_program(built: BuiltLake) -> None:
    result = program(built, "bars", "AAPL", "--size", "1h")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1].split()[:3] == ["AAPL", "2026-11-24", "10:00:00"]
    assert program(built, "bars", "nothing here").returncode == 2
    assert program(built, "status").returncode == 0


def test_help_and_verify_import_no_engine(built: BuiltLake) -> None:
    code = (
        "import sys, finance_lake, finance_lake.cli as command\n"
        "assert not {'duckdb', 'deltalake', 'pyarrow', 'polars', 'pydantic', 'confluent_kafka'} & set(sys.modules)\n"
        "sys.modules['duckdb'] = sys.modules['polars'] = None\n"  # as in the job's image
        "command.app(sys.argv[1:])\n"
    )

    def run_bare(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code, *arguments, "--data", str(built.paths.root)]
        return subprocess.run(words, capture_output=True, text=True)

    verified = run_bare("verify", "--no-broker")
    assert verified.returncode == 0
    assert verified.stderr == "Next: `financelake quarantine` shows the malformed records.\n"
    for command in ("quarantine", "show", "status"):
        assert run_bare(command).returncode == 0
    bars = run_bare("bars")
    assert (bars.returncode, bars.stderr.count("\n")) == (1, 1)
    assert "needs duckdb" in bars.stderr


def test_queries_do_not_import_pandas(built: BuiltLake) -> None:
    code = (
        "import sys, finance_lake\n"
        "lake = finance_lake.open(sys.argv[1])\n"
        "assert lake.latest().rows() and lake.bars().rows() and lake.ticks().rows()\n"
        "assert 'pandas' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(built.paths.root)], check=True)


def test_the_shell_continues_after_a_wrong_query(
    built: BuiltLake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["SELECT", "1 AS one;", "SELEC;", "", ".quit"])
    monkeypatch.setattr("builtins.input", lambda _: next(typed))
    lake = Lake(built.paths.root)
    shell(lake, None, 10, 5)
    lake.close()
    output = capsys.readouterr()
    assert "one\n" in output.out
    assert "syntax error" in output.err
