"""`financelake seal` and `lake.finalized_until`: what schedulers wait for."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_job.maintenance.compaction import Maintenance
from finance_lake.check_date import DUPLICATE, PROVEN, check
from finance_lake.cli import app, seal
from finance_lake.lake import Lake
from finance_storage.paths import TICKS
from finance_storage.seals import manifest_file
from finance_verify.verdict import Code
from tests.support.days import FIRST_DAY, LOG, Days, after_midnight, date_of
from tests.support.lakes import BAD, GOOD, BuiltLake

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(BuiltLake(tmp_path / "data"))


def run(days: Days, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["seal", *arguments, "--data", str(days.lake.paths.root)])


def test_sealed_days_are_listed(days: Days) -> None:
    days.arrive([GOOD, BAD], 0)
    days.arrive([GOOD, GOOD], 1)
    days.seal(after_midnight(1))
    printed = json.loads(run(days, "--json").stdout)
    assert printed["finalized_until"] == str(date_of(2))
    assert [(day["date"], day["revision"], day["rows"], day["quarantined"], day["verdict"]) for day in printed["days"]] == [
        (str(FIRST_DAY), 1, 1, 1, "complete"),
        (str(date_of(1)), 1, 2, 0, "complete"),
    ]
    assert printed["days"][0]["manifest"] == str(manifest_file(days.lake.paths, FIRST_DAY, 1))
    text = run(days)
    assert text.exit_code == 0
    assert f"All days before {date_of(2)} are sealed." in text.stdout


def test_a_lake_without_a_sealed_day_says_so(days: Days) -> None:
    days.arrive([GOOD], 0)
    result = run(days)
    assert (result.exit_code, result.stdout) == (0, "No day is sealed yet: the job seals one when it is over.\n")
    assert json.loads(run(days, "--json").stdout) == {"finalized_until": None, "days": []}


def test_a_day_that_is_not_sealed_or_no_longer_exits_with_3(days: Days) -> None:
    days.arrive([GOOD], 0)
    day = ("--date", str(FIRST_DAY))
    assert run(days, *day).exit_code == seal.EXIT_NOT_SEALED
    days.seal(after_midnight(0))
    assert run(days, *day).exit_code == 0
    assert run(days, "--date", str(date_of(1))).exit_code == seal.EXIT_NOT_SEALED
    assert run(days, "--date", str(date_of(-1))).exit_code == seal.EXIT_NOT_SEALED
    days.arrive([GOOD], 0)
    reopened = run(days, *day, "--json")
    assert reopened.exit_code == seal.EXIT_NOT_SEALED
    assert json.loads(reopened.stdout)["days"] == []
    assert f"{FIRST_DAY} is not sealed: all days before {FIRST_DAY} are." in reopened.stderr
    days.seal_again(after_midnight(0, 60))
    assert json.loads(run(days, *day, "--json").stdout)["days"][0]["revision"] == 2


def test_a_manifest_that_the_log_does_not_confirm_is_not_shown(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    days.lake.writer.invalidate_cache()
    days.lake.writer.seal(FIRST_DAY)  # as a commit that opens it
    assert json.loads(run(days, "--json").stdout)["days"] == []


def test_a_day_that_was_sealed_incomplete_exits_with_11(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.lake.plan(1)
    days.lake.commit(TICKS, [])
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    assert run(days, "--date", str(FIRST_DAY)).exit_code == Code.GAP


def test_wait_returns_as_soon_as_the_day_is_sealed(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "POLL_SECONDS", 0.02)
    days.arrive([GOOD], 0)
    sealing = threading.Timer(0.3, days.seal, [after_midnight(0)])
    sealing.start()
    assert run(days, "--date", str(FIRST_DAY), "--wait", "60").exit_code == 0
    sealing.join()


def test_wait_ends_when_the_time_is_over(days: Days) -> None:
    days.arrive([GOOD], 0)
    assert run(days, "--date", str(FIRST_DAY), "--wait", "0.2").exit_code == seal.EXIT_NOT_SEALED


def test_a_copy_has_only_the_files_of_the_log_and_is_proven(days: Days, tmp_path: Path) -> None:
    for _ in range(3):
        days.arrive([GOOD, BAD], 0)
    days.seal(after_midnight(0))
    Maintenance(days.lake.paths, days.lake.writer, days.between_batches, LOG, lambda: date_of(1)).all()
    in_place = days.lake.paths.ticks / f"date={FIRST_DAY}"
    assert check(in_place).code == DUPLICATE  # the files that were replaced are still there
    copying = ("--date", str(FIRST_DAY), "--copy", str(tmp_path / "copies"))
    assert run(days, *copying).exit_code == 0
    copy = tmp_path / "copies" / in_place.name
    assert check(copy).code == PROVEN
    assert len(list(copy.iterdir())) == 2
    again = run(days, *copying)
    assert (again.exit_code, again.stderr) == (2, f"{copy} already exists: name another folder.\n")


def test_wrong_options_are_refused(days: Days, tmp_path: Path) -> None:
    assert run(days, "--wait", "1").exit_code == 2
    assert run(days, "--copy", str(tmp_path)).exit_code == 2
    assert run(days, "--date", "yesterday").exit_code == 2


def test_a_damaged_manifest_is_named(days: Days) -> None:
    days.arrive([GOOD], 0)
    days.seal(after_midnight(0))
    path = manifest_file(days.lake.paths, FIRST_DAY, 1)
    path.write_text(path.read_text().replace('"rows": 1', '"rows": 2'))
    result = run(days)
    assert result.exit_code == 1
    assert f"The manifest {path} is damaged" in result.stderr


def test_the_lake_says_until_when_days_are_final(days: Days) -> None:
    days.arrive([GOOD], 0)
    with Lake(days.lake.paths.root) as lake:
        assert lake.finalized_until is None
        days.seal(after_midnight(0))
        assert lake.finalized_until == date_of(1)
