"""Checks before any process starts: settings of all roles, a running lake, its topic, the folders."""

from __future__ import annotations

import asyncio
import os
import re
import socket
from pathlib import Path

import pytest
from deltalake import DeltaTable

from finance_job.tables import create_tables
from finance_local import __main__ as program
from finance_local import migrate, preflight, repair, with_env
from finance_local.config import Settings
from finance_local.validation import validated_or_exit
from finance_role import environment
from finance_role.lock import AlreadyRunningError, hold
from finance_storage.lake_identity import PROPERTY, Identity
from finance_storage.paths import LakePaths
from tests.support.disk import small_disk

WRONG = [
    ("TICKS_PER_SECOND", "abc"),
    ("MAX_TICKS", "-1"),
    ("SYMBOLS", "AAPL,,"),
    ("MALFORMED_RATE", "1"),
    ("TICK_SOURCE", "nonsense"),
    ("KAFKA_PARTITIONS", "0"),
    ("KAFKA_RETENTION_HOURS", "x"),
    ("KAFKA_TOPIC", "a b"),
    ("KAFKA_PORT", "99999"),
    ("KAFKA_HEAP", "much"),
    ("ZOOKEEPER_HEAP", "0m"),
    ("KRAFT", "2"),
    ("SPARK_HEAP", "640"),
    ("SPARK_CORES", "0"),
    ("TRIGGER_SECONDS", "-1"),
    ("DATA_UMASK", "0999"),
    ("RUN_SECONDS", "inf"),
]


@pytest.fixture(autouse=True)
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for key in environment.SETTINGS & os.environ.keys():
        monkeypatch.delenv(key)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(with_env, "ENV_FILE", tmp_path / "none")
    return tmp_path / "data"


@pytest.fixture
def _nothing_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("something was started")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", started)
    monkeypatch.setattr(preflight, "require_java", lambda: None)


@pytest.mark.usefixtures("_nothing_may_start")
@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_setting_of_any_role_is_named_before_anything_starts(
    key: str, value: str, lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert f"{key}='{value}'" in capsys.readouterr().err
    assert not lake.exists()


def test_all_wrong_settings_are_named_together_and_each_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for key, value in WRONG:
        monkeypatch.setenv(key, value)
    with pytest.raises(SystemExit):
        validated_or_exit()
    named = [line.partition("=")[0] for line in capsys.readouterr().err.splitlines()]
    assert sorted(named) == sorted(key for key, _ in WRONG)


def test_settings_of_roles_that_do_not_run_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLES", "zookeeper kafka")
    monkeypatch.setenv("TICKS_PER_SECOND", "abc")
    assert validated_or_exit().roles == ("zookeeper", "kafka")


@pytest.mark.usefixtures("_nothing_may_start")
@pytest.mark.parametrize("role", ["zookeeper", "producer", "spark-job"])
def test_a_running_lake_is_refused_with_its_process_and_start_time(
    lake: Path, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with hold(lake, role):
        assert program.main() == 78
    stderr = capsys.readouterr().err
    assert re.search(rf"{role} already runs on .*process {os.getpid()} on \S+, since \d{{4}}-\d\d-\d\dT[\d:]{{8}}Z", stderr)
    assert "port" not in stderr


def test_checking_a_stopped_lake_leaves_its_locks_free(lake: Path) -> None:
    preflight.require_stopped(Settings())
    hold(lake, "kafka").close()


def identity(topic: str) -> Identity:
    return Identity("lake", "cluster", topic, "id", {0: 0}, "2026-11-26T00:00:00+00:00")


@pytest.mark.usefixtures("_nothing_may_start")
def test_another_topic_than_the_lakes_is_refused_before_a_tick_is_sent(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    create_tables(LakePaths(lake), identity("finance"))
    monkeypatch.setenv("KAFKA_TOPIC", "trades")
    assert program.main() == 78
    stderr = capsys.readouterr().err
    assert f"The lake at {lake} holds the topic finance; KAFKA_TOPIC=trades is another topic: set KAFKA_TOPIC=finance" in stderr
    assert "deleted" not in stderr


@pytest.mark.parametrize("topic", ["finance", None])
def test_the_lakes_own_topic_and_a_lake_that_does_not_exist_yet_are_accepted(lake: Path, topic: str | None) -> None:
    if topic:
        create_tables(LakePaths(lake), identity(topic))
    preflight.require_the_lakes_topic(Settings())


def test_a_damaged_identity_is_left_to_the_job(lake: Path) -> None:
    create_tables(LakePaths(lake), identity("finance"))
    DeltaTable(str(LakePaths(lake).ticks)).alter.set_table_properties({PROPERTY: "{"}, raise_if_not_exists=False)
    preflight.require_the_lakes_topic(Settings())


def test_a_torn_log_is_left_to_the_job(lake: Path) -> None:
    create_tables(LakePaths(lake), identity("finance"))
    (LakePaths(lake).ticks / "_delta_log" / f"{0:020d}.json").write_text("{")
    preflight.require_the_lakes_topic(Settings())


def test_a_folder_in_which_java_could_not_load_its_libraries_is_refused(lake: Path) -> None:
    lake.mkdir()
    with small_disk(lake, "noexec") as disk:
        if disk is None:
            pytest.skip("no permission to mount a volume")
        with pytest.raises(preflight.UnfitMachineError, match="noexec"):
            preflight.require_usable_folders(Settings())


def test_jars_below_a_folder_with_a_colon_are_refused(tmp_path: Path) -> None:
    with pytest.raises(preflight.UnfitMachineError, match="colon"):
        preflight.require_usable_folders(Settings(kafka_jars=tmp_path / "a:b"))


def test_a_role_that_already_runs_is_refused(lake: Path) -> None:
    with hold(lake, "kafka"), pytest.raises(AlreadyRunningError):
        preflight.require_stopped(Settings())


@pytest.mark.usefixtures("_nothing_may_start")
@pytest.mark.parametrize("command", repair.COMMANDS)
def test_a_repair_validates_only_the_settings_of_the_job(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["repair", command])
    monkeypatch.setenv("SPARK_CORES", "0")
    monkeypatch.setenv("TICKS_PER_SECOND", "abc")
    with pytest.raises(SystemExit) as ended:
        repair.main()
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert "SPARK_CORES='0'" in stderr
    assert "TICKS_PER_SECOND" not in stderr


def of_kind(lake: Path, *, kraft: bool) -> None:
    """Create what shows the kind of a lake's Kafka."""
    (lake / "kafka").mkdir(parents=True)
    (lake / "kafka" / "meta.properties").write_text(f"version={int(kraft)}\n")
    (lake / ("kraft" if kraft else "zookeeper")).mkdir()


@pytest.mark.usefixtures("_nothing_may_start")
@pytest.mark.parametrize("kraft", [True, False], ids=["KRaft", "ZooKeeper"])
def test_a_lake_of_the_other_kind_of_kafka_is_refused_with_what_to_do(
    lake: Path,
    kraft: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    of_kind(lake, kraft=kraft)
    monkeypatch.setenv("KRAFT", "0" if kraft else "1")
    assert program.main() == 78
    advice = "start it with KRAFT=1" if kraft else "start it without KRAFT=1, or migrate it once with `make migrate-to-kraft`"
    assert advice in capsys.readouterr().err


def test_roles_without_a_broker_run_on_a_lake_of_either_kind(lake: Path) -> None:
    of_kind(lake, kraft=True)
    preflight.require_the_lakes_kind(Settings(roles=("producer", "spark-job")))


def test_the_controllers_port_must_be_free(lake: Path) -> None:  # noqa: ARG001
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(kraft=True, roles=("kafka",), kafka_port=1, kafka_controller_port=taken.getsockname()[1])
        with pytest.raises(preflight.UnfitMachineError, match="set KAFKA_CONTROLLER_PORT"):
            preflight.require_free_ports(settings)


@pytest.fixture(params=[(True, ("kafka",)), (False, ("zookeeper", "kafka"))], ids=["KRaft", "ZooKeeper"])
def kind(request: pytest.FixtureRequest) -> tuple[bool, tuple[str, ...]]:
    """Return the value of KRAFT, and the roles of the broker."""
    chosen: tuple[bool, tuple[str, ...]] = request.param
    return chosen


def test_a_repair_starts_the_lakes_own_kind_of_broker_whatever_the_setting_says(
    lake: Path, kind: tuple[bool, tuple[str, ...]]
) -> None:
    kraft, roles = kind
    of_kind(lake, kraft=kraft)
    settings = repair.with_the_lakes_broker(Settings(kraft=not kraft))
    assert (settings.kraft, settings.roles) == (kraft, roles)
    preflight.require_the_lakes_kind(settings)


def test_only_an_adoption_begins_a_broker_for_a_lake_that_has_none(lake: Path, kind: tuple[bool, tuple[str, ...]]) -> None:
    kraft, roles = kind
    create_tables(LakePaths(lake), identity("finance"))
    with pytest.raises(preflight.OtherKindError, match="`make recover ADOPT=1` begins a new topic"):
        preflight.require_the_lakes_kind(repair.with_the_lakes_broker(Settings(kraft=kraft)))
    settings = repair.with_the_lakes_broker(Settings(kraft=kraft), adopts=True)
    assert (settings.kraft, settings.roles) == (kraft, (*roles, "topic-init"))
    preflight.require_the_lakes_kind(settings, adopts=True)


def test_a_repair_starts_the_version_of_kafka_that_the_lake_has_run(lake: Path) -> None:
    of_kind(lake, kraft=True)
    (lake / "kraft" / "kafka.version").write_text("4\n")
    settings = repair.with_the_lakes_broker(Settings())
    assert settings.jars_of_the_broker == Path("build/jars/kafka-4")
    preflight.require_the_lakes_kind(settings)
    with pytest.raises(preflight.UnfitMachineError, match=r"make .*kafka-4/\.ready"):
        preflight.require_jars(settings.model_copy(update={"kafka_jars": lake / "kafka"}))


@pytest.mark.usefixtures("_nothing_may_start")
def test_there_is_nothing_to_migrate_without_a_lake(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert migrate.main() == 1
    assert f"There is no lake with a broker at {lake}: nothing to migrate." in capsys.readouterr().err
    assert not lake.exists()


@pytest.mark.parametrize("role", migrate.LOCKED)
def test_a_running_lake_is_not_migrated(lake: Path, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    of_kind(lake, kraft=False)
    with hold(lake, role):
        assert migrate.main() == 78
    assert f"{role} already runs on {lake}" in capsys.readouterr().err
    assert not (lake / "migration").exists()


def test_the_ports_of_a_migration_differ_from_each_other() -> None:
    assert len(set(migrate.free_ports())) == 3
