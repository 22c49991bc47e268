"""`.env` and its other readers: make and the shell read the same values as the parser, and `make local` uses them."""

from __future__ import annotations

import os
import string
import subprocess
from pathlib import Path

import pytest

from finance_local import __main__ as local
from finance_local import command, with_env
from finance_local.env_file import parse

ALLOWED = string.ascii_letters + string.digits + "_./:,@%+=-"
# Every allowed character alone, first and last, and some risky combinations.
VALUES = [
    "",
    ALLOWED,
    "==",
    ":=x",
    "+=x",
    "a:b=c,d",
    "-n",
    *ALLOWED,
    *(f"{character}x" for character in ALLOWED),
    *(f"x{character}" for character in ALLOWED),
]
KEYS = {f"KEY_{number}": value for number, value in enumerate(VALUES)}
TEXT = "".join(f"{key}={value}\n" for key, value in KEYS.items())


def shown(lines: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in lines.splitlines())


def test_every_allowed_character_is_allowed_everywhere() -> None:
    assert parse(TEXT) == KEYS


def test_make_reads_the_same_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(TEXT)
    lines = "".join(f"$(info {key}=$({key}))\n" for key in KEYS)
    (tmp_path / "Makefile").write_text(f"include .env\n{lines}all:\n\t@:\n")
    # This test may itself run under make, whose flags must not be passed on.
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "KEY_"))}
    made = subprocess.run(["make", "--silent", "-C", tmp_path], capture_output=True, text=True, check=True, env=plain)
    assert shown(made.stdout) == KEYS


def test_a_shell_reads_the_same_values(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(TEXT)
    command = ["env", "-i", "sh", "-c", "set -a; . ./.env; env"]
    values = shown(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert {key: values.get(key) for key in KEYS} == KEYS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(with_env, "ENV_FILE", Path(".env"))
    monkeypatch.setattr(os, "environ", {"SEED": "from the command line"})
    (tmp_path / ".env.example").write_text("SEED=7\nKAFKA_PORT=9092\n")
    return tmp_path


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}


def test_the_environment_overrides_the_file(folder: Path) -> None:
    (folder / ".env").write_text("SEED=8\nKAFKA_PORT=9093\n")
    with_env.load_env_file()
    assert environment() == {"SEED": "from the command line", "KAFKA_PORT": "9093"}


def test_make_local_accepts_a_file_written_by_make_up(folder: Path) -> None:
    (folder / ".env").write_text("LAKE_UID=1000\nLAKE_GID=1000\n")
    with_env.load_env_file()
    assert environment()["LAKE_UID"] == "1000"


def test_without_a_file_nothing_is_loaded(folder: Path) -> None:
    assert not (folder / ".env").exists()
    with_env.load_env_file()
    assert environment() == {"SEED": "from the command line"}


def test_a_wrong_file_ends_make_local_with_a_sentence_and_code_2(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_text("SEED=8\nKAFKA_PRT=9093\n")
    assert local.main() == 2
    assert capsys.readouterr().err.startswith(".env is not valid:\nline 2, 'KAFKA_PRT': there is no such key")


# ---- the financelake command -------------------------------------------------------------------------------------------


def test_the_command_reads_the_lake_of_the_env_file(folder: Path) -> None:
    (folder / ".env").write_text("KAFKA_PORT=9093\nDATA_DIR=lakes/one\n")
    (folder / ".env.example").write_text("KAFKA_PORT=9092\nDATA_DIR=data\n")
    command.prepare(folder)
    assert (os.environ["KAFKA_PORT"], os.environ["DATA_DIR"]) == ("9093", "lakes/one")


def test_the_command_finds_the_lake_from_another_folder_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "scripts").mkdir()
    monkeypatch.chdir(folder / "scripts")
    command.prepare(folder)
    assert os.environ["DATA_DIR"] == "../data"


@pytest.mark.parametrize(("data_dir", "file"), [("mine", "DATA_DIR=data"), ("/mine", ""), (None, "DATA_DIR=/mine")])
def test_a_folder_from_the_environment_or_an_absolute_one_is_kept(folder: Path, data_dir: str | None, file: str) -> None:
    (folder / ".env.example").write_text("DATA_DIR=data\n")
    (folder / ".env").write_text(f"{file}\n")
    if data_dir:
        os.environ["DATA_DIR"] = data_dir
    command.prepare(folder)
    assert os.environ["DATA_DIR"] == (data_dir or "/mine")


def test_a_wrong_file_ends_the_command_with_a_sentence_and_code_2(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".env").write_text("KAFKA_PRT=9093\n")
    monkeypatch.setattr(command, "PROJECT", folder)
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(".env is not valid:")
