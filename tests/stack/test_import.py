"""`financelake import` on a running lake: every row is in the table once or listed, also after a kill and a second import."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import signal
import subprocess
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from finance_kafka.describe import BrokerUnavailableError, TopicNotFoundError
from finance_lake.lake import Lake
from finance_role.lock import holder_of
from finance_storage import ledger
from tests.support.imports import FINANCELAKE, environment, financelake, stored
from tests.support.stack import wait_for_derived, wait_until
from tests.support.terminal import CTRL_C, Terminal

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

pytestmark = pytest.mark.stack

NOON_MS = 1_704_456_000_000


def _file(folder: Path, rows: int, name: str = "trades.csv") -> Path:
    """Write ticks, and after each thousand a row without a price."""
    lines = [f"AAPL,{number % 9973}.{number % 100:02},{number},{NOON_MS + number}" for number in range(rows)]
    bad = [f"{line}\nAAPL,,1,{NOON_MS}" if place % 1000 == 999 else line for place, line in enumerate(lines)]
    file = folder / name
    file.write_text("ticker,trade_price,qty,timestamp\n" + "\n".join(bad) + "\n")
    return file


def _kept(file: Path) -> list[Decimal]:
    with file.open() as stream:
        return [
            Decimal(row["trade_price"]) for row in csv.DictReader(stream) if row["trade_price"] and row["trade_price"] != "0.00"
        ]


def _has_ticks(stack: Stack, number: int) -> bool:
    try:
        return sum(stack.end_offsets().values()) > number
    except (BrokerUnavailableError, TopicNotFoundError):
        return False


def test_a_file_is_imported_once_and_proven(stack: Stack, tmp_path: Path) -> None:
    file = _file(tmp_path, 5000)
    refused = financelake(stack.make_topic(), "import", file, "--yes", "--left-out", "none/list.csv")
    assert refused.returncode == 2
    assert "none/list.csv cannot be written (No such file or directory)" in refused.stderr
    assert "Starting" not in refused.stderr
    assert sum(stack.end_offsets().values()) == 0
    (tmp_path / "trades.csv.left-out.csv").write_text("line,reason,detail\n2,of an earlier import,\n")
    first = financelake(stack, "import", file, "--yes")
    assert first.returncode == 0, first.stdout + first.stderr
    assert f"Starting spark-job of the lake at {stack.paths.root} for this import" in first.stderr
    assert "Stopped spark-job; all data is kept." in first.stderr
    zero = sum(number % 9973 == 0 and number % 100 == 0 for number in range(5000))
    assert f"5,005 rows = {5000 - zero:,} stored as {5000 - zero:,} ticks + {5 + zero} left out" in first.stdout
    assert [tick.price for tick in stored(stack)] == _kept(file)
    listed = (tmp_path / "trades.csv.left-out.csv").read_text().splitlines()
    assert listed[0] == "line,reason,detail"
    assert "1002,price_missing,empty" in listed
    assert len(listed) == 1 + 5 + zero

    again = financelake(stack, "import", file, "--yes")
    assert again.returncode == 0
    assert "trades.csv is in the lake already" in again.stderr
    assert "Starting" not in again.stderr
    assert len(stored(stack)) == 5000 - zero

    (tmp_path / "copy.csv").write_bytes(file.read_bytes())
    job = stack.run("spark-job")  # raises if the import has not stopped its own
    job.wait_for("Running:")
    (tmp_path / "lists").mkdir()
    twice = financelake(stack, "import", file, "copy.csv", "--yes", "--again", "--left-out", "lists")
    assert twice.returncode == 0, twice.stderr
    assert "copy.csv has the content of trades.csv, which is imported once." in twice.stderr
    assert "Starting" not in twice.stderr
    assert (tmp_path / "lists" / "trades.csv.left-out.csv").read_text().splitlines() == listed
    assert len(stored(stack)) == 2 * (5000 - zero)

    other = dataclasses.replace(stack, topic=f"{stack.topic}-other", runs=[]).make_topic()
    elsewhere = financelake(other, "import", file, "--yes", "--again")
    assert elsewhere.returncode == 2
    assert "Nothing is sent: set KAFKA_TOPIC, KAFKA_PORT and DATA_DIR to those of one lake." in elsewhere.stderr
    assert job.stop() == 0
    stopped = financelake(other, "import", file, "--yes", "--again")
    assert stopped.returncode == 2
    assert f"set KAFKA_TOPIC={stack.topic}" in stopped.stderr
    assert "The lake did not start, and nothing is sent." in stopped.stderr
    assert sum(other.end_offsets().values()) == 0
    stack.assert_proven()


@pytest.mark.faults
def test_an_import_starts_the_lake_and_stops_it_also_after_ctrl_c(own_stack: Stack, tmp_path: Path) -> None:
    file = _file(tmp_path, 600_000)
    ports = {"KAFKA_PORT": own_stack.kafka_port, "ZOOKEEPER_PORT": own_stack.zookeeper_port, "BARS_SECONDS": 0}
    settings = environment(own_stack) | {key: str(value) for key, value in ports.items()}
    del settings["KAFKA_BOOTSTRAP"]
    with subprocess.Popen(
        [FINANCELAKE, "import", str(file), "--yes"], cwd=tmp_path, env=settings, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_until(lambda: _has_ticks(own_stack, 50_000), 120, "50,000 ticks in the topic")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 1
    assert "Starting zookeeper, kafka, topic-init, spark-job of the lake" in told
    assert "stopped before the end of the file. The same command goes on where it stopped" in told
    assert "Stopped zookeeper, kafka, topic-init, spark-job; all data is kept." in told
    for role in ("zookeeper", "kafka", "spark-job"):
        assert holder_of(own_stack.paths.root, role) == ""

    rest = subprocess.run(
        [FINANCELAKE, "import", str(file), "--yes"], cwd=tmp_path, env=settings, capture_output=True, text=True, check=False
    )
    assert rest.returncode == 0, rest.stdout + rest.stderr
    assert "of them by an earlier run" in rest.stdout
    assert [tick.price for tick in stored(own_stack)] == _kept(file)
    for role in ("zookeeper", "kafka", "spark-job"):
        assert holder_of(own_stack.paths.root, role) == ""


@pytest.mark.faults
def test_at_a_terminal_it_asks_shows_a_bar_and_stops_at_ctrl_c(stack: Stack, tmp_path: Path) -> None:
    job = stack.make_topic().run("spark-job")
    job.wait_for("Running:")
    rows, file = 400_000, tmp_path / "days.csv"
    file.write_text("symbol,price,date\n" + "".join(f"A,{number % 9973 + 1},01/05/2024\n" for number in range(rows)))

    def begun(answer: str) -> Terminal:
        terminal = Terminal([FINANCELAKE, "import", str(file)], tmp_path, environment(stack))
        terminal.expect(r"What is the order of the date 01/05/2024\?")
        terminal.expect("1  day, month, year")
        terminal.expect("2  month, day, year")
        terminal.expect("1 to 2, or q: ")
        terminal.type("3\n")
        terminal.expect("1 to 2, or q: ")
        terminal.type("2\n")
        terminal.expect("2024-01-05 00:00:00 UTC")
        terminal.expect(r"Import\? \[y/N\] ")
        terminal.type(answer)
        return terminal

    with begun("\n") as terminal:
        assert terminal.end() == 0
    assert sum(stack.end_offsets().values()) == 0

    with begun("y\n") as terminal:
        terminal.expect(r"days\.csv: publishing \S+ +[1-9][0-9]%")
        wait_until(lambda: terminal.runs() and sum(stack.end_offsets().values()) > 0, 60, "a tick in the topic")
        terminal.type(CTRL_C)
        terminal.expect(r"stopped before the end of the file\. The same command goes on where it stopped\.")
        assert terminal.end() == 1

    with begun("y\n") as terminal:
        match = terminal.expect(r"every tick is in the table once, ([\d,]+) of them by an earlier run", seconds=300)
        assert 0 < int(match[1].replace(",", "")) < rows
        assert terminal.end() == 0
    assert len(stored(stack)) == rows
    assert job.stop() == 0


@pytest.mark.faults
def test_a_killed_import_goes_on_where_it_stopped(stack: Stack, tmp_path: Path) -> None:
    file = _file(tmp_path, 600_000)
    job = stack.make_topic().run("spark-job")
    job.wait_for("Running:")
    process = subprocess.Popen(
        [FINANCELAKE, "import", str(file), "--yes"],
        cwd=tmp_path,
        env=environment(stack),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: sum(stack.end_offsets().values()) > 50_000, 60, "50,000 ticks in the topic")
    process.send_signal(signal.SIGKILL)
    process.wait()
    sent = sum(stack.end_offsets().values())
    assert 50_000 < sent < 590_000

    rest = financelake(stack, "import", file, "--yes")
    assert rest.returncode == 0, rest.stdout + rest.stderr
    match = re.search(r"in the table once, ([\d,]+) of them by an earlier run\. Source: (\S+)", rest.stdout)
    assert match, rest.stdout
    assert int(match[1].replace(",", "")) >= sent
    assert [tick.price for tick in stored(stack, match[2])] == _kept(file)
    account = ledger.read(ledger.ledger_file(stack.paths.root, match[2]))
    assert account.acknowledged == [(0, len(_kept(file)) - 1)]
    assert job.stop() == 0
    stack.assert_proven()


def test_a_forgotten_file_is_in_no_answer_until_it_is_undone(stack: Stack, tmp_path: Path) -> None:
    file = _file(tmp_path, 3000)
    job = stack.make_topic().run("spark-job", BARS_SECONDS=1)
    job.wait_for("Running:")
    stack.send([b'{"symbol":"MSFT","price":1}'])
    source = re.search(r"Source: (\S+)", financelake(stack, "import", file, "--yes").stdout)
    assert source
    kept = stored(stack, source[1])
    with Lake(stack.paths.root) as lake:
        before = lake.version

    asked = financelake(stack, "forget", source[1])
    assert asked.returncode == 2
    assert "Nothing is changed" in asked.stderr
    forgotten = financelake(stack, "forget", source[1], "--yes")
    assert forgotten.returncode == 0, forgotten.stdout + forgotten.stderr
    assert f"{len(kept):,} ticks of {source[1]} are retracted" in forgotten.stdout
    with Lake(stack.paths.root) as lake:
        assert lake.symbols() == ["MSFT"]
        assert lake.ticks("AAPL", as_of=before).arrow.num_rows == len(kept)
    stack.assert_proven()
    wait_for_derived(stack.paths, 60, job.text)
    assert not [row for row in financelake(stack, "bars", "--json").stdout.split('"') if row == "AAPL"]
    listed = {row["source"]: row["state"] for row in json.loads(financelake(stack, "sources", "--json").stdout)}
    assert listed[source[1]] == f"{len(kept):,} retracted by `financelake forget`"
    again = financelake(stack, "import", file, "--yes")
    assert f"`financelake forget {source[1]} --undo` brings its ticks back" in again.stderr

    undone = financelake(stack, "forget", source[1], "--undo", "--yes")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert stored(stack, source[1]) == kept
    assert job.stop() == 0
    stack.assert_proven()
    elsewhere = financelake(stack, "forget", source[1], "--yes")  # without a job
    assert elsewhere.returncode == 0, elsewhere.stdout + elsewhere.stderr
    stack.assert_proven()
