"""`.env` means the same to all of its readers, because only unambiguous lines are allowed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from finance_local.env_file import FILES_KEY, USER_KEYS, EnvFileError, known_keys, parse

ROOT = Path(__file__).parents[3]
HOSTILE = [
    "A='hunter2'",
    'A="hunter2"',
    "A=hunter2 hunter2",
    "A= hunter2",
    "A=hunter2 ",
    "A=hunter2\t",
    "A=hunter2\r",
    "A =hunter2",
    " A=hunter2",
    "A=$hunter2",
    "A=${hunter2}",
    "A=hunter2#",
    "A=x # hunter2",
    "A=`hunter2`",
    "A=hunter2\\n",
    "A=hunter2;",
    "A=hunter2&",
    "A=h\N{LATIN SMALL LETTER U WITH DIAERESIS}nter2",
    "A=hunter2\0",
    "export A=hunter2",
    "a=hunter2",
    "1A=hunter2",
    "=hunter2",
    "A: hunter2",
    "hunter2",
    "\N{ZERO WIDTH NO-BREAK SPACE}A=hunter2",
]
LETTERS = "abcxyzABCXYZ0189_./:,@%+=-"
keys = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
files = st.dictionaries(keys, st.text(LETTERS, max_size=12))
# Characters of lines that readers could interpret differently.
noise = st.text(st.sampled_from("AB=x1 \t#'\"$\\{}\n\r\x0b\x0c\x1c\x85\N{LINE SEPARATOR}"), max_size=20)


@pytest.mark.parametrize("line", HOSTILE, ids=ascii)
def test_a_line_that_readers_could_interpret_differently_is_refused(line: str) -> None:
    with pytest.raises(EnvFileError, match="line 2"):
        parse(f"B=1\n{line}\n")


@pytest.mark.parametrize("line", HOSTILE, ids=ascii)
def test_a_message_never_shows_a_value(line: str) -> None:
    with pytest.raises(EnvFileError) as caught:
        parse(line)
    assert "hunter2" not in str(caught.value)


def test_a_duplicate_or_unknown_key_is_refused_without_its_value() -> None:
    with pytest.raises(EnvFileError) as caught:
        parse("A=1\nA=hunter2\nC=hunter2\n", {"A", "B"})
    complaints = str(caught.value).splitlines()
    assert [complaint.split(":")[0] for complaint in complaints] == ["line 2, 'A'", "line 3, 'C'"]
    assert "twice" in complaints[0]
    assert "no such key" in complaints[1]
    assert "hunter2" not in str(caught.value)


def test_all_faults_are_named_together() -> None:
    with pytest.raises(EnvFileError) as caught:
        parse("A='x'\nB=1\nC=x y\n")
    assert [line.split(",")[0] for line in str(caught.value).splitlines()] == ["line 1", "line 3"]


def test_blank_lines_and_comments_are_ignored() -> None:
    assert parse("# A=1\n\n  \t\n#\nB=2") == {"B": "2"}


def test_the_keys_of_the_example_and_of_the_user_are_known() -> None:
    assert known_keys("A=1\n") == {"A", *USER_KEYS, FILES_KEY}


@settings(deadline=None)
@given(files)
def test_dotenv_reads_the_value_of_every_accepted_line(values: dict[str, str]) -> None:
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    assert parse(text) == values
    assert dotenv_values(stream=io.StringIO(text)) == values


@settings(deadline=None)
@given(st.lists(noise | st.sampled_from(["A=1", "B=x", "# x"])).map("\n".join))
@example("# a comment\x0cA=1")
@example("# a comment\rA=1")
@example("#\N{LINE SEPARATOR}A=1")
def test_dotenv_reads_every_accepted_file_in_the_same_way(text: str) -> None:
    try:
        values = parse(text)
    except EnvFileError:
        return
    assert dotenv_values(stream=io.StringIO(text)) == values


def test_the_example_is_read_alike() -> None:
    text = (ROOT / ".env.example").read_text()
    assert dotenv_values(stream=io.StringIO(text)) == parse(text)
