"""The command's streams: terminals, pipes, full disks, other encodings."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finance_role.text import ESCAPE
from tests.unit.lake.conftest import story

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND = [sys.executable, "-m", "finance_lake"]
TEXT = "'中\N{LATIN SMALL LETTER E WITH ACUTE}\N{GRINNING FACE}'"
COMMANDS = [
    ["--help"],
    ["bars", "--help"],
    ["status"],
    ["show"],
    ["bars"],
    ["bars", "AAPL", "--chart"],
    ["history"],
    ["sql", f"SELECT {TEXT} AS {TEXT.replace(chr(39), chr(34))}"],
    ["sql", f"SELECT {TEXT} AS x", "--json"],
    ["tail", "--count", "1"],
    ["verify", "--no-broker"],
    ["quarantine"],
    ["no-such-command-\N{GRINNING FACE}"],
]
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return story(tmp_path_factory.mktemp("lake") / "data").paths.root


def run(folder: Path, arguments: list[str], out: int, **environment: str) -> subprocess.CompletedProcess[str]:
    env, encoding = {**os.environ, "DATA_DIR": str(folder), **environment}, environment.get("PYTHONIOENCODING", "utf-8")
    return subprocess.run([*COMMAND, *arguments], stdout=out, stderr=subprocess.PIPE, env=env, encoding=encoding, check=False)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: arguments[0] + arguments[-1][:8])
def test_characters_that_the_encoding_lacks_are_escaped(folder: Path, arguments: list[str], encoding: str) -> None:
    ended = run(folder, arguments, subprocess.PIPE, PYTHONIOENCODING=encoding)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == (2 if arguments[0].startswith("no-such") else 0)
    if "--json" in arguments:
        assert json.loads(ended.stdout)["rows"] == [{"x": TEXT.strip("'")}]


@given(text=st.text(st.characters(exclude_categories=[])))
def test_escapes_are_those_of_json(text: str) -> None:
    written = json.dumps(text, ensure_ascii=False).encode("ascii", ESCAPE)
    assert json.loads(written) == json.loads(json.dumps(text))


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", COMMANDS[:-1], ids=lambda arguments: arguments[0] + arguments[-1][:8])
def test_a_full_disk_is_reported_and_exits_with_1(folder: Path, arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        ended = run(folder, arguments, full.fileno(), PYTHONUNBUFFERED=unbuffered)
    assert "Standard output: No space left on device." in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_broken_pipe_is_reported_and_exits_with_1(folder: Path, form: list[str], unbuffered: str) -> None:
    command = [*COMMAND, "sql", "FROM range(100000)", "--limit", "100000", *form]
    environment = {**os.environ, "DATA_DIR": str(folder), "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read().decode().splitlines()[0] == "Standard output: Broken pipe."
        assert process.wait(PATIENCE_SECONDS) == 1


def test_closed_streams_are_reported_and_fail(folder: Path) -> None:
    for redirection, code in ((">&-", 1), ("<&-", 2)):
        command = f"{sys.executable} -m finance_lake sql {redirection}"
        ended = subprocess.run(
            ["bash", "-c", command], env={**os.environ, "DATA_DIR": str(folder)}, stderr=subprocess.PIPE, text=True, check=False
        )
        assert ended.returncode == code
        assert "is closed" in ended.stderr
        assert "Traceback" not in ended.stderr


class Terminal:
    """The SQL shell on a pseudo-terminal."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.process, self._terminal = pty.fork()
        if self.process == 0:
            os.execve(sys.executable, [*COMMAND, "sql"], dict(environment))  # noqa: S606
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until a text arrives; return the output before it."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while text not in self.seen:
            assert time.monotonic() < give_up, self.seen
            self.seen += os.read(self._terminal, 4096).decode()
        before, _, self.seen = self.seen.partition(text)
        return before

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._terminal)


@pytest.fixture
def terminal(folder: Path) -> Iterator[Terminal]:
    opened = Terminal({**os.environ, "DATA_DIR": str(folder), "TERM": "dumb"})
    opened.wait_for("lake> ")
    yield opened
    opened.close()


def test_ctrl_c_at_the_prompt_clears_the_line_and_later_queries_work(terminal: Terminal) -> None:
    terminal.type("SELECT 1 AS one;\n")
    terminal.wait_for("lake> ")
    for typed in ("selec", "SELECT 7,\n", ""):
        terminal.type(typed)
        time.sleep(0.2)
        terminal.type("\x03")
        terminal.wait_for("lake> ")
    terminal.type("selct 1;\n")
    assert 'syntax error at or near "selct"' in terminal.wait_for("lake> ")
    terminal.type("SELECT 40 + 2 AS n;\n")
    assert "42" in terminal.wait_for("lake> ")


def test_ctrl_c_cancels_a_query_and_stays_in_the_shell(terminal: Terminal) -> None:
    terminal.type("SELECT count(*) FROM range(10000000000000);\n")
    time.sleep(2)
    terminal.type("\x03")
    assert "The query was cancelled." in terminal.wait_for("lake> ")
    terminal.type("SELECT 40 + 2 AS n;\n")
    assert "42" in terminal.wait_for("lake> ")
    terminal.type(".quit\n")
    assert os.waitstatus_to_exitcode(os.waitpid(terminal.process, 0)[1]) == 0
    terminal.process = os.posix_spawn("/bin/true", ["true"], {})
