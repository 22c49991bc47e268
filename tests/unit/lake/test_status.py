"""The state of the lake, from heartbeats, ledgers and commits and their ages."""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from typer.testing import CliRunner

from finance_kafka.describe import BrokerUnavailableError
from finance_kafka.offsets import OffsetRange
from finance_lake import status
from finance_lake.cli import app
from finance_lake.dashboard.panels import Panels
from finance_lake.query.engine import Engine
from finance_lake.status import DOWN, UNKNOWN, UP, lake_status, roles, services
from finance_role import beneath
from finance_role.heartbeat import Heartbeat, heartbeat_file
from finance_storage.derived_tables import PROPERTY, pause_file, transaction_id
from finance_storage.errors import UnreadableError
from tests.support.lakes import LAKE, BuiltLake, numbered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from finance_kafka.describe import TopicDescription

LONG = timedelta(minutes=10)


def no_broker() -> TopicDescription:
    raise BrokerUnavailableError("no broker answers at 127.0.0.1:9092")


def no_record(_: Mapping[int, OffsetRange], __: int) -> float:
    raise BrokerUnavailableError("the broker returns no records")


def beat(built: BuiltLake, role: str, seconds: float = 60) -> None:
    Heartbeat(heartbeat_file(built.paths.root, role), seconds).beat()


def ledger(built: BuiltLake, at: datetime, *, ended: bool = False, source: str = "sim-1") -> None:
    """Write a producer's ledger of acknowledged ticks, as of a moment."""
    file = built.paths.ledgers / f"{source}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"source": "sim-1"}\n{"acknowledged": [[0, 9]]}\n' + ('{"ended": "now", "made": 10}\n' if ended else ""))
    os.utime(file, (at.timestamp(),) * 2)


def age(built: BuiltLake, by: timedelta) -> datetime:
    """Make the newest commit older; return its new time."""
    entry = max((built.paths.ticks / "_delta_log").glob("*.json"))
    lines = [json.loads(line) for line in entry.read_text().splitlines()]
    then = datetime.now(UTC) - by
    for line in lines:
        if "commitInfo" in line:
            line["commitInfo"]["timestamp"] = round(then.timestamp() * 1000)
    entry.write_text("\n".join(map(json.dumps, lines)))
    return then


class Case(NamedTuple):
    """Whether the job has a heartbeat, when after the newest commit a producer wrote its ledger, and whether it has ended."""

    job: bool
    wrote: timedelta | None
    ended: bool
    behind: bool


CASES = [
    Case(job=True, wrote=None, ended=False, behind=False),
    Case(job=True, wrote=-LONG, ended=False, behind=False),
    Case(job=True, wrote=timedelta(seconds=1), ended=False, behind=False),  # of ticks that the commit has
    Case(job=True, wrote=LONG, ended=False, behind=True),
    Case(job=True, wrote=LONG, ended=True, behind=False),  # a producer that stopped: its last line says so
    Case(job=False, wrote=None, ended=False, behind=True),
    Case(job=False, wrote=LONG, ended=False, behind=True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("maintained", [False, True])
def test_the_lag_grows_while_ticks_wait(built: BuiltLake, case: Case, *, maintained: bool) -> None:
    committed = age(built, LONG)
    if maintained:  # a commit that adds no ticks is no progress
        entry = built.paths.ticks / "_delta_log" / f"{4:020d}.json"
        entry.write_text(json.dumps({"commitInfo": {"timestamp": round(time.time() * 1000), "operation": "OPTIMIZE"}}))
    if case.job:
        beat(built, "spark-job")
    if case.wrote is not None:
        ledger(built, committed + case.wrote, ended=case.ended)
    seconds = lake_status(built.paths, no_broker, no_record).lag_seconds
    assert seconds == pytest.approx(LONG.total_seconds() if case.behind else 0, abs=5)
    status = Panels(built.paths, Engine()).status()
    assert (status["waiting"], status["rate"]) == (case.behind, 0.0)
    if case.behind:
        assert status["lag"] >= 1000 * (LONG.total_seconds() - 1)


def test_with_a_broker_the_lag_is_the_age_of_the_oldest_record_that_waits(built: BuiltLake) -> None:
    age(built, LONG)
    assert lake_status(built.paths, lambda: built.broker, no_record).lag_seconds == 0  # the job is down, and nothing waits
    position, asked = dict(built.ends), []
    built.ends[0] += 3

    def oldest(ranges: Mapping[int, OffsetRange], _: int) -> float:
        asked.append(ranges)
        return time.time() - 7

    assert lake_status(built.paths, lambda: built.broker, oldest).lag_seconds == pytest.approx(7, abs=2)
    assert asked == [{0: OffsetRange(position[0], position[0] + 3)}]
    assert lake_status(built.paths, lambda: built.broker, no_record).lag_seconds == pytest.approx(LONG.total_seconds(), abs=5)


def test_the_lag_of_an_empty_lake_begins_with_the_first_acknowledged_tick(tmp_path: Path) -> None:
    built = BuiltLake(tmp_path / "data")
    assert lake_status(built.paths, no_broker, no_record).lag_seconds == 0
    age(built, LONG)
    ledger(built, datetime.now(UTC))
    assert lake_status(built.paths, no_broker, no_record).lag_seconds == pytest.approx(LONG.total_seconds(), abs=5)


@pytest.mark.parametrize("content", ["", "soon", "nan", "-inf", "0", "1e", "\x00", "\xff"])
def test_an_invalid_heartbeat_means_down(built: BuiltLake, content: str) -> None:
    beat(built, "producer")
    heartbeat_file(built.paths.root, "producer").write_text(content, encoding="latin-1")
    assert roles(built.paths)["producer"] == DOWN


def test_a_heartbeat_that_is_not_a_file_means_down(built: BuiltLake) -> None:
    heartbeat_file(built.paths.root, "producer").mkdir(parents=True)
    assert roles(built.paths) == {"producer": DOWN, "spark-job": DOWN}


@pytest.mark.parametrize(
    ("holder", "state"),
    [("process 1 on {here}", DOWN), ("", DOWN), ("container 4f1c", UNKNOWN), ("process 1 on other", UNKNOWN)],
)
def test_a_lock_held_in_another_container_is_not_mistaken_for_free(built: BuiltLake, holder: str, state: str) -> None:
    lock = built.paths.root / "locks" / "zookeeper.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(holder.replace("{here}", os.uname().nodename))
    assert services(built.paths, broker_up=False)["zookeeper"] == state
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert services(built.paths, broker_up=False)["zookeeper"] == UP


def test_a_lake_without_zookeeper_has_no_such_service(built: BuiltLake) -> None:
    (built.paths.root / "kraft").mkdir()
    assert services(built.paths, broker_up=False) == {"kafka": DOWN, "producer": DOWN, "spark-job": DOWN}
    assert services(built.paths, broker_up=True)["kafka"] == UP


def run(built: BuiltLake, *arguments: str) -> int:
    result = CliRunner().invoke(app, ["status", "--data", str(built.paths.root), *arguments])
    assert "Traceback" not in result.output
    if result.exit_code in {3, 4}:
        assert "--max-lag allows" in result.stderr or "--require demands" in result.stderr
    return result.exit_code


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_failed_demands_have_exit_codes(built: BuiltLake, monkeypatch: pytest.MonkeyPatch, form: list[str]) -> None:
    monkeypatch.setattr(status, "describe_topic_quickly", lambda *_: no_broker())
    age(built, LONG)
    assert run(built, *form) == 0
    assert run(built, *form, "--max-lag", "5") == 3
    assert run(built, *form, "--max-lag", "3600") == 0
    assert run(built, *form, "--require", "spark-job") == 4
    assert run(built, *form, "--max-lag", "5", "--require", "producer") == 4
    beat(built, "spark-job")
    assert run(built, *form, "--max-lag", "5", "--require", "spark-job") == 0
    assert run(built, *form, "--require", "spark-job", "--require", "kafka") == 4
    assert run(built, *form, "--require", "job") == 2
    assert run(built, *form, "--max-lag", "-1") == 2
    beat(built, "spark-job", -1)
    assert run(built, *form, "--require", "spark-job") == 4


def test_demands_fail_without_a_lake(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--data", str(tmp_path), "--max-lag", "5"])
    assert result.exit_code == 2


def test_an_earlier_status_has_no_services(built: BuiltLake) -> None:
    age(built, LONG)
    status = Panels(built.paths, Engine()).status("2")
    assert (status["services"], status["waiting"]) == (None, False)


def test_a_status_without_a_readable_lake_has_the_services(tmp_path: Path) -> None:
    built = BuiltLake(tmp_path / "data")
    beat(built, "producer")
    built.store(numbered(1))
    (built.paths.ticks / "_delta_log" / f"{1:020d}.json").write_text("damaged")
    status = Panels(built.paths, Engine()).status()
    assert (status["version"], status["services"]) == (None, {"producer": UP, "spark-job": DOWN})


def derive(built: BuiltLake, as_of: int) -> None:
    """Write a derived table as of a version, with rows that do not matter here."""
    rows = pa.table({"symbol": ["AAPL"]})
    table = DeltaTable.create(
        str(built.paths.derived("bars_1m")), rows.schema, configuration={PROPERTY: LAKE}, raise_if_key_not_exists=False
    )
    transaction = CommitProperties(app_transactions=[Transaction(transaction_id(LAKE, "bars_1m"), as_of)])
    write_deltalake(table, rows, mode="append", commit_properties=transaction)


def test_a_derived_table_is_shown_with_its_lag_and_its_pause(built: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "describe_topic_quickly", lambda *_: no_broker())
    newest = DeltaTable(str(built.paths.ticks)).version()
    derive(built, newest)
    built.paths.derived("of_a_user").mkdir()
    assert [
        (table.name, table.as_of, table.lag_seconds) for table in lake_status(built.paths, no_broker, no_record).derived
    ] == [("bars_1m", newest, 0.0)]
    built.store(numbered(1, first=100))
    age(built, LONG)
    built.pause("bars_1m", "the disk is full\x1b[2J")
    (table,) = lake_status(built.paths, no_broker, no_record).derived
    assert table.lag_seconds == pytest.approx(LONG.total_seconds(), abs=5)
    shown = CliRunner().invoke(app, ["status", "--data", str(built.paths.root)]).output
    assert f"bars_1m      as of version {newest}, paused since " in shown
    assert "UTC: the disk is full\\x1b[2J" in shown
    assert Panels(built.paths, Engine()).status()["paused"] == {"bars_1m": "the disk is full\x1b[2J"}


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": 1}', b"[" * 10_000])
def test_an_invalid_pause_is_none(built: BuiltLake, content: bytes) -> None:
    beneath.write_whole(built.paths.root, pause_file(built.paths, "bars_1m"), content)
    assert Panels(built.paths, Engine()).status()["paused"] == {}


def test_a_damaged_derived_table_is_named(built: BuiltLake) -> None:
    derive(built, 1)
    (built.paths.derived("bars_1m") / "_delta_log" / f"{0:020d}.json").write_text("damaged")
    with pytest.raises(UnreadableError, match="finance_bars_1m cannot be read"):
        lake_status(built.paths, no_broker, no_record)
