"""What the terminal shows and what its log contains: routine batches become a line a minute, a warning is always shown."""

from __future__ import annotations

import io
import os
import re
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from finance_local import console
from finance_local.console import CONDENSED_SECONDS, SHOWN_FIRST, Condenser, Terminal, log_file
from finance_role import beneath
from finance_role.beneath import IrregularError

if TYPE_CHECKING:
    from collections.abc import Iterator


def batch(number: int, quarantined: int = 0) -> str:
    counts = f"rows=101 good={101 - quarantined} quarantined={quarantined}"
    return f"2026-11-26T20:00:00Z [info] batch id={number} {counts} offsets=0:1 lag=0 ms=417 version=5"


ALWAYS_SHOWN = [
    "2026-11-26T20:00:00Z [warning] the query failed and starts again reason=x",
    batch(7, quarantined=1),
    "Traceback",
    "",
]


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_batches_are_shown_and_then_a_summary_each_minute() -> None:
    clock = Clock()
    condenser = Condenser(clock)
    shown = []
    for number in range(SHOWN_FIRST + 121):
        clock.now += 1
        shown += list(condenser.shown(batch(number)))
    assert shown[:SHOWN_FIRST] == [batch(number) for number in range(SHOWN_FIRST)]
    minute = int(CONDENSED_SECONDS)
    assert shown[SHOWN_FIRST:] == [f"{minute} batches, {minute * 101:,} rows, none quarantined; run/local.log has each"] * 2


@pytest.mark.parametrize("line", ALWAYS_SHOWN)
def test_any_other_line_is_shown_immediately(line: str) -> None:
    condenser = Condenser(Clock())
    for number in range(SHOWN_FIRST + 3):
        list(condenser.shown(batch(number)))
    assert list(condenser.shown(line)) == ["3 batches, 303 rows, none quarantined; run/local.log has each", line]


@given(st.lists(st.sampled_from([*ALWAYS_SHOWN, *(batch(number) for number in range(9))])))
def test_only_routine_lines_are_held_back_and_every_row_is_counted(lines: list[str]) -> None:
    condenser = Condenser(Clock())
    shown = [line for text in [*lines, "the end"] for line in condenser.shown(text)]
    assert [line for line in shown if line in ALWAYS_SHOWN] == [line for line in lines if line in ALWAYS_SHOWN]
    rows = sum(
        int(number.replace(",", ""))
        for line in shown
        for groups in re.findall(r"rows=(\d+)|, ([\d,]+) rows", line)
        for number in groups
        if number
    )
    assert rows == sum(101 for line in lines if "batch id" in line)


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch, file: Path, *, is_terminal: bool) -> Iterator[tuple[Terminal, io.StringIO]]:
    screen = io.StringIO()
    monkeypatch.setattr(
        console, "Console", lambda **how: Console(file=screen, force_terminal=is_terminal, no_color=True, **how)
    )
    with closing(Terminal(file)) as output:
        yield output, screen


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_log_and_a_pipe_get_every_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool) -> None:  # noqa: FBT001
    with terminal(monkeypatch, log_file(tmp_path), is_terminal=is_terminal) as (output, screen):
        output.say("Running.")
        for number in range(SHOWN_FIRST + 5):
            output.line("spark-job", batch(number))
        output.line("kafka", "\x1b[31mred\ud800")
    lines = log_file(tmp_path).read_text().splitlines()
    assert len(lines) == SHOWN_FIRST + 7
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}Z Running\.", lines[0])
    assert "\x1b" not in lines[-1]
    assert screen.getvalue().count("batch id=") == SHOWN_FIRST + (0 if is_terminal else 5)


def test_the_log_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "LOG_BYTES", 2000)
    with terminal(monkeypatch, log_file(tmp_path), is_terminal=False) as (output, _):
        for number in range(200):
            output.line("spark-job", batch(number))
    assert len(list((tmp_path / "run").glob("local.log*"))) == 1 + console.LOG_FILES


def test_a_link_in_the_place_of_the_log_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "precious").write_text("kept")
    log_file(tmp_path).symlink_to(tmp_path / "precious")
    with pytest.raises(IrregularError, match=r"local\.log is a symbolic link"):
        Terminal(log_file(tmp_path))
    assert (tmp_path / "precious").read_text() == "kept"


def test_a_full_disk_does_not_stop_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    monkeypatch.setattr(beneath, "append", lambda *_: os.open("/dev/full", os.O_WRONLY))
    with suppress(OSError), closing(Terminal(log_file(tmp_path))) as terminal:
        terminal.say("Running.")
        captured = capsys.readouterr()
        assert "Running." in captured.out
        assert "Traceback" not in captured.err
