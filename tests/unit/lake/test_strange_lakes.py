"""Untrusted lakes: whatever the log contains, each command ends soon, with an answer or a message, and reads no other files."""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from deltalake.exceptions import DeltaError
from typer.testing import CliRunner

import finance_lake as fl
from finance_job.guard import examine
from finance_job.repair.recovery_plan import RecoverError, make_plan
from finance_lake.cli import app
from finance_lake.dashboard.commit_update import change
from finance_lake.dashboard.panels import Panels
from finance_lake.query.engine import Engine
from finance_storage.accounting import find_inconsistencies
from finance_storage.errors import LakeError
from finance_storage.lake_identity import CorruptStateError
from finance_storage.paths import TICKS
from tests.support.lakes import TOPIC, BuiltLake
from tests.unit.lake.conftest import story_copy, tick

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(60)

SECRET = "SECRET"
DEEP = 200_000


class Strange(NamedTuple):
    """A manipulation of a lake. `corrupt` is part of verify's message; None if verify finds no damage."""

    do: Callable[[BuiltLake], object]
    corrupt: str | None


def _newest(lake: BuiltLake) -> Path:
    return max((lake.paths.ticks / "_delta_log").glob("*.json"))


def _outside(lake: BuiltLake) -> Path:
    """Make a data file outside of the lake, like one of its own but with another symbol."""
    elsewhere = BuiltLake(lake.paths.root.parent / "elsewhere", partitions=2)
    elsewhere.store([tick(SECRET, 100, 0)])
    target = lake.paths.root.parent / "outside.parquet"
    shutil.copyfile(elsewhere.files(TICKS)[0], target)
    return target


def _edited(change: Callable[[str], str]) -> Callable[[BuiltLake], object]:
    def do(lake: BuiltLake) -> None:
        _outside(lake)
        entry = _newest(lake)
        entry.write_text(change(entry.read_text()))

    return do


def _pointing(path: str) -> Callable[[BuiltLake], object]:
    """Make the newest entry name another data file, with the right size."""

    def do(lake: BuiltLake) -> None:
        outside = _outside(lake)
        named = json.dumps(path.replace("{outside}", str(outside)))
        text = re.sub(r'"path":"[^"]+"', lambda _: f'"path":{named}', _newest(lake).read_text())
        _newest(lake).write_text(re.sub(r'"size":\d+', f'"size":{outside.stat().st_size}', text))

    return do


def _in_place_of_a_file(put: Callable[[Path, Path], object]) -> Callable[[BuiltLake], object]:
    def do(lake: BuiltLake) -> None:
        file = lake.files(TICKS)[0]
        file.unlink()
        put(file, _outside(lake))

    return do


def _in_place_of_the_entry(put: Callable[[Path, Path], object], name: str | None = None) -> Callable[[BuiltLake], object]:
    def do(lake: BuiltLake) -> None:
        entry = _newest(lake)
        kept = lake.paths.root.parent / "entry.json"
        shutil.copyfile(entry, kept)
        if name is None:
            entry.unlink()
        put(entry if name is None else entry.with_name(name), kept)

    return do


def _pipe(at: Path, _: Path) -> None:
    os.mkfifo(at)


def _link(at: Path, target: Path) -> None:
    at.symlink_to(target)


def _folder(at: Path, _: Path) -> None:
    at.mkdir()


def _huge(at: Path, _: Path) -> None:
    with at.open("wb") as file:
        file.truncate(1 << 30)


def _linked_folder(name: str) -> Callable[[BuiltLake], object]:
    def do(lake: BuiltLake) -> None:
        folder = lake.paths.root / name
        folder.rename(lake.paths.root.parent / "moved")
        folder.symlink_to(lake.paths.root.parent / "moved")

    return do


def _stats(pattern: str, value: str) -> Callable[[BuiltLake], object]:
    """Replace a value in the statistics, which are JSON in a string."""
    return _edited(lambda text: re.sub(rf'({pattern}\\":)(\\"[^"]*\\"|-?\d+)', lambda found: found[1] + value, text))


def _record(pattern: str, value: str) -> Callable[[BuiltLake], object]:
    return _edited(lambda text: re.sub(rf'(\\"{pattern}\\":)[^{{,}}\]]+', lambda found: found[1] + value, text, count=1))


def _replaced(old: str, new: str) -> Callable[[BuiltLake], object]:
    return _edited(lambda text: text.replace(old, new))


def _with_line(line: str) -> Callable[[BuiltLake], object]:
    return _edited(lambda text: f"{text.rstrip()}\n{line}\n")


def _with_text(key: str, value: str) -> Callable[[BuiltLake], object]:
    """Replace the text of a member, which often is JSON itself."""
    return _edited(lambda text: re.sub(rf'"{key}":"(?:[^"\\]|\\.)*"', lambda _: f'"{key}":{json.dumps(value)}', text))


def _committed(when: str) -> Callable[[BuiltLake], object]:
    return _edited(lambda text: re.sub(r'"timestamp":\d+', f'"timestamp":{when}', text))


def _pipe_at(name: str) -> Callable[[BuiltLake], object]:
    def do(lake: BuiltLake) -> None:
        (lake.paths.root / name).parent.mkdir(exist_ok=True)
        os.mkfifo(lake.paths.root / name)

    return do


NESTED = "[" * DEEP + "]" * DEEP
NO_ENTRY = "3.json is torn or not a log entry"
ZERO_AT = r"\"position\":{\"0\":7"
STRANGE = {
    "a path from the root": Strange(_pointing("{outside}"), "outside.parquet is not a path below"),
    "a path upward": Strange(_pointing("../../outside.parquet"), "is not a path below"),
    "a path upward, encoded": Strange(_pointing("%2e%2e/%2e%2e/outside.parquet"), "is not a path below"),
    "a path upward in the middle": Strange(_pointing("date=2026-11-24/../../../outside.parquet"), "is not a path below"),
    "a path into another table": Strange(_pointing("../finance_quarantine/x.parquet"), "is not a path below"),
    "a URL": Strange(_pointing("file://{outside}"), "is missing"),
    "a pattern": Strange(_pointing("date=2026-11-24/*.parquet"), "*.parquet is missing"),
    "another key": Strange(_pointing("symbol=X/a.parquet"), "a.parquet is missing"),
    "no name": Strange(_pointing(""), "is a folder"),
    "the folder": Strange(_pointing("."), "is a folder"),
    "a zero": Strange(_pointing("date=2026-11-24/\0"), "is not a path below"),
    "half a character": Strange(_pointing("date=2026-11-24/\udcff"), ""),
    "a long name": Strange(_pointing("x" * 5000), "cannot be read"),
    "a pipe as data file": Strange(_in_place_of_a_file(_pipe), "is a pipe"),
    "a link as data file": Strange(_in_place_of_a_file(_link), "is a symbolic link"),
    "a folder as data file": Strange(_in_place_of_a_file(_folder), "is a folder"),
    "a device as data file": Strange(_in_place_of_a_file(lambda at, _: at.symlink_to("/dev/zero")), "is a symbolic link"),
    "a link as day": Strange(_linked_folder("finance_delta/date=2026-11-24"), "date=2026-11-24 is a symbolic link"),
    "a link as table": Strange(_linked_folder("finance_delta"), "finance_delta is a symbolic link"),
    "a link as log": Strange(_linked_folder("finance_delta/_delta_log"), "_delta_log is a symbolic link"),
    "a link as quarantine": Strange(_linked_folder("finance_quarantine"), "finance_quarantine is a symbolic link"),
    "a pipe as entry": Strange(_in_place_of_the_entry(_pipe), "3.json is a pipe"),
    "a folder as entry": Strange(_in_place_of_the_entry(_folder), "3.json is a folder"),
    "a link as entry": Strange(_in_place_of_the_entry(_link), "3.json is a symbolic link"),
    "an endless entry": Strange(_in_place_of_the_entry(lambda at, _: at.symlink_to("/dev/zero")), "3.json is a symbolic link"),
    "a huge entry": Strange(_in_place_of_the_entry(_huge), "3.json has 1,073,741,824 bytes"),
    "a pipe as pointer": Strange(_in_place_of_the_entry(_pipe, "_last_checkpoint"), "_last_checkpoint is a pipe"),
    "a link as pointer": Strange(_in_place_of_the_entry(_link, "_last_checkpoint"), "_last_checkpoint is a symbolic link"),
    "a pipe as checkpoint": Strange(_in_place_of_the_entry(_pipe, f"{3:020d}.checkpoint.parquet"), "parquet is a pipe"),
    "deep JSON": Strange(_with_line(f'{{"commitInfo":{{"operation":"x","y":{NESTED}}}}}'), "is nested too deeply"),
    "deep JSON, unknown": Strange(_with_line(f'{{"zzz":{NESTED}}}'), "is nested too deeply"),
    "deep statistics": Strange(_with_text("stats", f'{{"numRecords":2,"x":{NESTED}}}'), None),
    "a deep record": Strange(_with_text("userMetadata", NESTED), None),
    "no object": Strange(_with_line("[]"), NO_ENTRY),
    "a time far away": Strange(_committed(str(2**63 - 1)), NO_ENTRY),
    "a time far back": Strange(_committed(str(-(2**63))), NO_ENTRY),
    "an endless time": Strange(_committed("1e400"), NO_ENTRY),
    "a time in words": Strange(_committed('"soon"'), NO_ENTRY),
    "many rows": Strange(_stats("numRecords", str(2**63 - 1)), "has 2 rows, the log says"),
    "a row count beyond 64 bits": Strange(_stats("numRecords", "9" * 40), None),
    "a negative row count": Strange(_stats("numRecords", "-5"), "has 2 rows, the log says -5"),
    "an impossible size": Strange(_edited(lambda text: re.sub(r'"size":\d+', f'"size":{10**20}', text)), ""),
    "a size below zero": Strange(_edited(lambda text: re.sub(r'"size":\d+', '"size":-1', text)), "the log says -1"),
    "an event in the year 9999999": Strange(_stats("ts_event", r"\"9999999-01-01T00:00:00Z\""), None),
    "an event in the year 262142": Strange(_stats("ts_event", r"\"+262142-01-01T00:00:00Z\""), None),
    "an arrival in the year -5000": Strange(_stats("kafka_timestamp", r"\"-5000-01-01T00:00:00Z\""), None),
    "an offset far away": Strange(_stats("kafka_offset", str(2**63 - 1)), None),
    "a partition far away": Strange(_stats("kafka_partition", str(2**63 - 1)), None),
    "a day far away": Strange(_replaced('"date":"2026-11-24"', '"date":"+262142-01-01"'), ""),
    "an invalid day": Strange(_replaced('"date":"2026-11-24"', '"date":"99999-99-99"'), ""),
    "an invalid digest": Strange(_record("digest", r"\"zz\""), None),
    "a sequence far away": Strange(_record("sequence", "9" * 40), None),
    "offsets far away": Strange(_replaced("[4,7]", f"[4,{9**40}]"), None),
    "a position far away": Strange(_replaced(ZERO_AT, rf"\"position\":{{\"0\":{2**63 - 1}"), None),
    "a partition's number far away": Strange(_replaced(ZERO_AT, rf"\"position\":{{\"{9**40}\":7"), None),
    "a pipe as journal": Strange(_pipe_at("redrive.json"), None),
    "a pipe as an older lake's state": Strange(_pipe_at("lake.json"), None),
    "a pipe as ledger": Strange(_pipe_at("ledger/x.jsonl"), None),
    "a pipe as heartbeat": Strange(_pipe_at("run/spark-job.heartbeat"), None),
    "a pipe as verdict": Strange(_pipe_at("run/verdict.json"), None),
    "a pipe as lock": Strange(_pipe_at("locks/zookeeper.lock"), None),
}
COMMANDS = [
    ["status"],
    ["show"],
    ["bars", "--json"],
    ["bars", "AAPL", "--as-of", "2"],
    ["history", "--json"],
    ["tail", "--count", "1"],
    ["quarantine"],
    ["export", "{target}", "--force"],
]
# These start processes, and take as long as all the others together.
SLOW = [
    ["sql", "SELECT symbol, count(*), sum(price) FROM ticks GROUP BY ALL"],
    ["sql", "FROM quarantine"],
    ["doctor"],
]
SOME = (
    "a path from the root",
    "a pipe as data file",
    "a link as data file",
    "a pipe as entry",
    "deep JSON",
    "a pipe as pointer",
)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("DATA_DIR", "KAFKA_TOPIC"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "127.0.0.1:1")


@pytest.fixture(params=STRANGE)
def strange(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[BuiltLake, Strange]:
    lake, what = story_copy(tmp_path / "data"), STRANGE[request.param]
    what.do(lake)
    return lake, what


def _run(lake: BuiltLake, *arguments: str) -> Any:  # noqa: ANN401 (typer's Result is click's)
    result = CliRunner().invoke(app, [*arguments, "--data", str(lake.paths.root)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    assert SECRET not in result.output
    return result


def test_verify_finds_the_damage(strange: tuple[BuiltLake, Strange]) -> None:
    lake, what = strange
    result = _run(lake, "verify", "--no-broker")
    if what.corrupt is not None:
        assert result.exit_code == 13, result.output
        assert what.corrupt in result.stdout


def test_each_command_answers_or_prints_an_error(strange: tuple[BuiltLake, Strange], tmp_path: Path) -> None:
    _answered(strange[0], COMMANDS, tmp_path)


@pytest.mark.parametrize("strange", SOME, indirect=True)
def test_sql_and_doctor_answer_or_print_an_error(strange: tuple[BuiltLake, Strange], tmp_path: Path) -> None:
    _answered(strange[0], SLOW, tmp_path)


def _answered(lake: BuiltLake, commands: list[list[str]], tmp_path: Path) -> None:
    for arguments in commands:
        target = tmp_path / "export.csv"
        result = _run(lake, *(one.replace("{target}", str(target)) for one in arguments))
        assert result.exit_code in {0, 1, 2}, (arguments, result.output)
        if result.exit_code == 1 and arguments != ["doctor"]:
            assert result.stderr.strip(), arguments
        assert not target.exists() or SECRET not in target.read_text()


def test_the_lake_class_answers_or_raises_lake_error(strange: tuple[BuiltLake, Strange]) -> None:
    lake, _ = strange
    asked: list[Callable[[fl.Lake], Any]] = [
        lambda opened: opened.ticks(),
        lambda opened: opened.latest(),
        lambda opened: opened.bars("1m"),
        lambda opened: opened.coverage(),
        lambda opened: opened.since(1),
        lambda opened: opened.quarantine(),
        lambda opened: opened.history(),
        lambda opened: opened.ticks(as_of=2),
        lambda opened: opened.ticks(as_of="2027-01-01"),
    ]
    try:
        opened = fl.open(lake.paths.root)
    except LakeError as error:
        assert "\n" not in str(error)  # noqa: PT017 (there may be an answer)
        return
    with closing(opened):
        for ask in asked:
            try:
                assert SECRET not in str(ask(opened).arrow.to_pylist())
            except LakeError as error:
                assert "\n" not in str(error)  # noqa: PT017 (any of them may answer)


def test_the_dashboard_answers_or_raises_lake_error(strange: tuple[BuiltLake, Strange]) -> None:
    lake, _ = strange
    engine = Engine()
    panels = Panels(lake.paths, engine)
    asked: list[Callable[[], object]] = [
        panels.status,
        lambda: panels.bars("AAPL", "1m"),
        panels.latest,
        lambda: panels.history(50),
        lambda: panels.quarantine(None, 100),
        lambda: panels.sql("FROM ticks", None),
        lambda: change(lake.paths, engine, 3),
    ]
    with closing(panels):
        for ask in asked:
            try:
                assert SECRET not in str(ask())
            except LakeError:
                continue


def test_recover_makes_a_plan_or_refuses(strange: tuple[BuiltLake, Strange]) -> None:
    lake, what = strange
    state = examine(lake.paths, lake.broker)
    try:
        plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    except (RecoverError, CorruptStateError, DeltaError) as error:
        assert str(error)  # noqa: PT017 (there may be a plan)
        return
    list(plan.steps())
    if what.corrupt:
        assert not plan.is_idle
        assert find_inconsistencies(state) or any(plan.broken.values())
