"""`make reset`: deletes all of the lake or nothing, never while it runs, and never other files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from finance_local import reset
from finance_role.lock import hold
from finance_storage.paths import LakePaths

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    for name in ("zookeeper", "kafka", "checkpoints", "finance_delta", "finance_quarantine", "ledger", "seals", "locks", "run"):
        (folder / name).mkdir(parents=True)
    (folder / "finance_bars_1m" / "_delta_log").mkdir(parents=True)
    (folder / "finance_delta" / "part.parquet").touch()
    (folder / "lake.json").touch()
    (folder / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.setenv("YES", "1")
    return folder


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    questions: list[str] = []

    def ask(question: str) -> str:
        questions.append(question)
        return text

    monkeypatch.delenv("YES")
    monkeypatch.setattr("builtins.input", ask)
    return questions


def contents(lake: Path) -> set[str]:
    return {path.name for path in lake.iterdir()}


def test_all_state_is_deleted_except_the_readme(lake: Path) -> None:
    assert reset.main() == 0
    assert contents(lake) == {"README.md"}


def test_a_lake_in_an_object_store_is_not_deleted(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(lake)
    monkeypatch.setenv("LAKE_URI", "s3://bucket/prefix")
    assert reset.main() == 1
    assert contents(lake) == before


def test_every_path_of_a_lake_is_one_that_reset_knows(lake: Path) -> None:
    paths = LakePaths(lake)
    for path in (
        paths.before_tables,
        paths.ticks,
        paths.quarantine,
        paths.aside,
        paths.ledgers,
        paths.seals,
        paths.verdict.parent,
        paths.backup_note,
    ):
        if not path.exists():
            path.mkdir()
    assert reset.is_a_lake(lake)


def test_the_question_says_that_a_topic_of_others_stays(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka.example.org:9092")
    questions = answer(monkeypatch, "n")
    assert reset.main() == 0
    assert questions == ["Delete the tables (the topic at kafka.example.org:9092 stays) and everything else below data? [y/N] "]
    assert (lake / "finance_delta").exists()


def test_it_asks_and_names_the_folder(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = answer(monkeypatch, "y")
    assert reset.main() == 0
    assert len(questions) == 1
    assert "data" in questions[0]
    assert contents(lake) == {"README.md"}


@pytest.mark.parametrize("text", ["", "n", "no", "x"])
def test_any_other_answer_deletes_nothing(lake: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    before = contents(lake)
    assert len(answer(monkeypatch, text)) == 0
    assert reset.main() == 0
    assert contents(lake) == before


def test_without_standard_input_nothing_is_deleted(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end_of_file(_: str) -> str:
        raise EOFError

    before = contents(lake)
    answer(monkeypatch, "")
    monkeypatch.setattr("builtins.input", end_of_file)
    assert reset.main() == 0
    assert contents(lake) == before


@pytest.mark.parametrize("role", ["zookeeper", "kafka", "producer", "spark-job"])
def test_a_lake_that_runs_is_refused(lake: Path, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(lake)
    with hold(lake, role):
        assert reset.main() == 1
    assert contents(lake) == before
    assert "is running" in capsys.readouterr().err


def test_the_lock_of_a_role_that_has_ended_is_ignored(lake: Path) -> None:
    hold(lake, "kafka").close()
    assert reset.main() == 0
    assert contents(lake) == {"README.md"}


@pytest.mark.parametrize("name", ["thesis.docx", ".git"])
def test_a_folder_with_other_files_is_refused(lake: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (lake / name).touch()
    before = contents(lake)
    assert reset.main() == 1
    assert contents(lake) == before
    assert "nothing was deleted" in capsys.readouterr().err


def test_a_missing_folder_is_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    assert reset.main() == 0


def test_the_folder_is_that_of_the_settings(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = lake.parent / "elsewhere"
    (elsewhere / "kafka").mkdir(parents=True)
    (lake.parent / ".env").write_text("DATA_DIR=elsewhere\n")
    before = contents(lake)
    assert reset.main() == 0
    assert (contents(elsewhere), contents(lake)) == (set(), before)
    monkeypatch.setenv("DATA_DIR", "data")
    assert reset.main() == 0
    assert contents(lake) == {"README.md"}


def test_settings_that_cannot_be_read_delete_nothing(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(lake)
    (lake.parent / ".env").write_text("DATA_DIR='elsewhere'\n")
    assert reset.main() == 2
    assert contents(lake) == before
    assert "line 1" in capsys.readouterr().err
