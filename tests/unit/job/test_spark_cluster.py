"""The options of a standalone Spark cluster, without secrets on any command line."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from pydantic import ValidationError

from finance_job import standalone
from finance_job.config import Settings, SparkSettings
from finance_job.session import spark_options
from finance_job.spark_cluster import write_secret
from finance_job.standalone import StandaloneSettings, command_of, environment_of
from finance_role.environment import SETTINGS
from tests.unit.job.test_session import parsed

SECRET = "correct-horse-battery"
MASTER = "spark://master:7077"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


def standalone_settings(secret: Path, **fields: object) -> StandaloneSettings:
    values = {"data_dir": secret.parent / "data", "spark_master": MASTER, "spark_secret_file": secret, **fields}
    return StandaloneSettings.model_validate(values)


def test_without_a_master_spark_runs_in_the_jobs_process_on_the_loopback_interface() -> None:
    options = spark_options(Settings(), Path("/scratch"))
    assert options["spark.driver.host"] == options["spark.driver.bindAddress"] == "127.0.0.1"
    assert not [key for key in options if key.startswith(("spark.executor.", "spark.cores.", "spark.network."))]


def test_the_driver_of_a_cluster_is_reached_at_its_host_and_its_executors_have_its_jars(secret: Path) -> None:
    settings = Settings(spark_master=MASTER, spark_host="driver", spark_secret_file=secret, spark_cores=4)
    options = spark_options(settings, Path("/scratch"))
    assert options["spark.driver.host"] == options["spark.driver.bindAddress"] == "driver"
    assert options["spark.executor.extraClassPath"] == options["spark.driver.extraClassPath"]
    assert options["spark.cores.max"] == options["spark.default.parallelism"] == "4"
    assert options["spark.authenticate"] == options["spark.network.crypto.enabled"] == "true"


def test_an_executor_unpacks_libraries_in_its_own_folder(secret: Path) -> None:
    options = spark_options(Settings(spark_master=MASTER, spark_secret_file=secret), Path("/scratch"))
    java = parsed(options["spark.executor.extraJavaOptions"])
    assert "-Djava.io.tmpdir=." in java
    assert not [option for option in java if "/scratch" in option or option.startswith("-Xmx") or "SharedArchive" in option]


def test_a_lost_worker_is_noticed_well_within_a_minute(secret: Path) -> None:
    options = spark_options(Settings(spark_master=MASTER, spark_secret_file=secret), Path("/scratch"))
    seconds = {key: int(options[key].removesuffix("s")) for key in options if key.startswith("spark.network.timeout")}
    assert seconds["spark.network.timeoutInterval"] <= seconds["spark.network.timeout"] <= 30
    assert int(options["spark.executor.heartbeatInterval"].removesuffix("s")) * 3 <= seconds["spark.network.timeout"]
    assert int(options["spark.worker.timeout"]) <= 30


@pytest.mark.parametrize("role", ["spark-master", "spark-worker-1"])
def test_no_command_line_and_no_environment_has_the_secret(secret: Path, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_SECRET_FILE", str(secret))
    settings = standalone_settings(secret)
    command = command_of(role, settings, Path("/scratch"), Path("/scratch/conf"))
    environment = environment_of(settings, Path("/scratch"))
    options = spark_options(Settings(spark_master=MASTER, spark_secret_file=secret), Path("/scratch"))
    assert SECRET not in " ".join([*command, *environment.values(), *options.values()])
    assert not environment.keys() & SETTINGS


def test_the_secret_is_in_a_file_of_a_private_folder(secret: Path, tmp_path: Path) -> None:
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    written = write_secret(folder, secret)
    assert written.read_text() == f"spark.authenticate.secret {SECRET}\n"
    assert written == folder / "spark.properties"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_master_listens_where_the_others_look_for_it(secret: Path) -> None:
    settings = standalone_settings(secret, spark_host="master", spark_ui_port=8080)
    command = command_of("spark-master", settings, Path("/scratch"), Path("/conf"))
    place = command.index("org.apache.spark.deploy.master.Master")
    assert command[place + 1 :] == [
        *("--port", "7077", "--host", "master", "--webui-port", "8080", "--properties-file", "/conf"),
    ]
    assert "-Dspark.deploy.recoveryMode=FILESYSTEM" in command


def test_a_worker_has_room_for_all_executors_of_a_driver(secret: Path) -> None:
    settings = standalone_settings(secret, spark_cores=3, spark_executor_heap="500m", spark_host="worker")
    command = command_of("spark-worker-2", settings, Path("/scratch"), Path("/conf"))
    assert command[-1] == MASTER
    assert command[command.index("--cores") + 1] == "3"
    assert command[command.index("--memory") + 1] == "1500m"
    assert command[command.index("--work-dir") + 1] == "/scratch/work"


@pytest.mark.parametrize(
    ("master", "is_valid"),
    [
        ("", True),
        ("spark://a:7077", True),
        ("spark://a:7077,b:7077", True),
        ("local[2]", False),
        ("yarn", False),
        ("spark://a", False),
        ("spark://a:7077/x", False),
    ],
)
def test_a_master_is_named_by_its_address(secret: Path, master: str, *, is_valid: bool) -> None:
    if is_valid:
        assert Settings(spark_master=master, spark_secret_file=secret).spark_master == master
    else:
        with pytest.raises(ValidationError, match="spark_master"):
            Settings(spark_master=master, spark_secret_file=secret)


def test_a_cluster_needs_a_secret() -> None:
    with pytest.raises(ValidationError, match="with SPARK_MASTER it must name a file with the cluster's secret"):
        Settings(spark_master=MASTER)


@pytest.mark.parametrize(
    "content", ["", "short", "with a space in the middle", "backslash\\backslash", "two\nlines-of-secret-text"]
)
def test_an_unusable_secret_is_refused(secret: Path, content: str) -> None:
    secret.write_text(content)
    with pytest.raises(ValidationError, match="one line of at least 16 printable characters"):
        SparkSettings(spark_master=MASTER, spark_secret_file=secret)


def test_a_missing_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="the secret cannot be read"):
        SparkSettings(spark_master=MASTER, spark_secret_file=tmp_path / "none")


@pytest.mark.parametrize("arguments", [[], ["spark"], ["spark-worker"], ["spark-worker-0"], ["../spark-master"]])
def test_an_unknown_role_is_a_wrong_usage(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["standalone", *arguments])
    with pytest.raises(SystemExit) as ended:
        standalone.main()
    assert ended.value.code == 2
    assert "usage: python -m finance_job.standalone spark-master|spark-worker-N" in capsys.readouterr().err
