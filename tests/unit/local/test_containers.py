"""What `make up` prepares: `.env` with the containers' user, and a data folder owned by that user."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finance_job.tables import create_tables
from finance_local import containers
from finance_storage.lake_identity import PROPERTY, Identity
from finance_storage.paths import LakePaths


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".env.example").write_text("# The example.\nDATA_DIR=data\nSEED=7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATA_DIR", raising=False)
    monkeypatch.delenv("KRAFT", raising=False)
    monkeypatch.delenv("CLUSTER", raising=False)
    monkeypatch.delenv("S3", raising=False)
    return tmp_path


def user() -> tuple[int, int]:
    owner: tuple[int, int] = containers.lake_user(os.getuid(), os.getgid())
    return owner


@pytest.mark.parametrize(
    ("caller", "expected"), [((0, 0), (1000, 1000)), ((501, 20), (501, 20)), ((501, 0), (501, 1000)), ((0, 20), (1000, 20))]
)
def test_containers_run_as_the_caller_and_never_as_root(caller: tuple[int, int], expected: tuple[int, int]) -> None:
    assert containers.lake_user(*caller) == expected


def test_the_user_keys_are_replaced_and_everything_else_is_kept() -> None:
    text = "LAKE_UID=1\n# LAKE_UID=2\nSEED=7\nLAKE_GID=3\nLAKE_UIDS=4\n"
    assert containers.with_user(text, 501, 20) == "# LAKE_UID=2\nSEED=7\nLAKE_UIDS=4\nLAKE_UID=501\nLAKE_GID=20\n"


@settings(deadline=None)
@given(st.lists(st.sampled_from(["A=1", "", "# x", "#\x0cA=1", "LAKE_UID=5", "LAKE_GID=6"])).map("\n".join))
def test_setting_the_user_is_idempotent(text: str) -> None:
    once = containers.with_user(text, 501, 20)
    assert containers.with_user(once, 501, 20) == once
    kept = [line for line in text.split("\n") if not line.startswith("LAKE_")]
    assert [line for line in once.split("\n") if line and not line.startswith("LAKE_")] == [line for line in kept if line]


def test_the_first_run_creates_both_and_the_second_changes_nothing(clone: Path) -> None:
    assert containers.main() == 0
    text = (clone / ".env").read_text()
    uid, gid = user()
    assert text == f"# The example.\nDATA_DIR=data\nSEED=7\nLAKE_UID={uid}\nLAKE_GID={gid}\n"
    assert (clone / "data").is_dir()
    assert containers.main() == 0
    assert (clone / ".env").read_text() == text


def test_existing_settings_are_kept(clone: Path) -> None:
    (clone / ".env").write_text("SEED=8\nDATA_DIR=elsewhere\n")
    assert containers.main() == 0
    assert (clone / ".env").read_text().startswith("SEED=8\nDATA_DIR=elsewhere\nLAKE_UID=")
    assert (clone / "elsewhere").is_dir()
    assert not (clone / "data").exists()


@pytest.mark.parametrize("settings", ["SEED=8\n", "DATA_DIR=\nSEED=8\n"], ids=["absent", "empty"])
def test_without_data_dir_the_default_is_used_and_never_the_clone_itself(clone: Path, settings: str) -> None:
    (clone / ".env").write_text(settings)
    assert containers.main() == 0
    assert (clone / "data").is_dir()
    assert (clone / ".env.example").stat().st_uid == os.getuid()


def test_a_folder_from_the_environment_takes_precedence(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", "of this run")
    assert containers.main() == 0
    assert [path.name for path in clone.iterdir() if path.is_dir()] == ["of this run"]


def test_the_system_python_is_enough(clone: Path) -> None:
    command = [sys.executable, "-S", "-m", "finance_local.containers"]
    environment = {
        "PYTHONPATH": ":".join(str(Path(__file__).parents[3] / name) for name in ("local", "role")),
        "PATH": os.environ["PATH"],
    }
    subprocess.run(command, cwd=clone, env=environment, check=True)
    assert "LAKE_UID=" in (clone / ".env").read_text()


def test_a_file_that_a_running_lake_removes_meanwhile_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rglob", lambda folder, _: iter([folder / "run" / "producer.new"]))
    containers.set_owner(tmp_path, os.getuid(), os.getgid())
    assert tmp_path.stat().st_uid == os.getuid()


def test_everything_in_the_data_folder_gets_the_user_as_owner(clone: Path) -> None:
    inner = clone / "data" / "kafka" / "log"
    inner.parent.mkdir(parents=True)
    inner.touch()
    assert containers.main() == 0
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in (clone / "data", inner.parent, inner)}
    assert owners == {user()}


def test_the_owner_of_a_link_is_changed_but_not_of_its_target(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "data").mkdir()
    (clone / "data" / "link").symlink_to(clone / "outside")
    (clone / "outside").touch()
    changed: list[tuple[str, bool]] = []

    def chown(name: str, _uid: int, _gid: int, **how: Any) -> None:  # noqa: ANN401
        changed.append((name, how["follow_symlinks"]))

    opened: list[str] = []
    monkeypatch.setattr(os, "chown", chown)
    monkeypatch.setattr(os, "fchown", lambda number, *_: opened.append(Path(f"/proc/self/fd/{number}").readlink().name))
    containers.set_owner(clone / "data", os.getuid() + 1, os.getgid())
    assert changed == [("link", False)]
    assert opened == ["data"]


def test_a_file_replaced_by_a_link_after_its_check_is_left_alone(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace a file and a folder by links to root's after they are checked and before their owner is changed."""
    (clone / "data" / "folder").mkdir(parents=True)
    (clone / "data" / "file").touch()
    (clone / "secret").mkdir()
    (clone / "secret" / "shadow").touch()
    changed: list[Path] = []
    original = os.stat

    def replace_after(path: Any, *arguments: Any, **how: Any) -> os.stat_result:  # noqa: ANN401
        status = original(path, *arguments, **how)
        if path == "file" and "dir_fd" in how:
            (clone / "data" / "file").unlink()
            (clone / "data" / "file").symlink_to(clone / "secret" / "shadow")
        if path == "folder" and "dir_fd" in how:
            (clone / "data" / "folder").rename(clone / "moved")
            (clone / "data" / "folder").symlink_to(clone / "secret")
        return status

    monkeypatch.setattr(os, "stat", replace_after)
    monkeypatch.setattr(os, "fchown", lambda number, *_: changed.append(Path(f"/proc/self/fd/{number}").readlink()))
    with suppress(OSError):
        containers.set_owner(clone / "data", os.getuid() + 1, os.getgid())
    assert changed
    assert not [path for path in changed if path.is_relative_to(clone / "secret")]


def test_the_owner_of_a_file_with_another_hard_link_is_not_changed(clone: Path) -> None:
    (clone / "data").mkdir()
    (clone / "shadow").touch()
    (clone / "data" / "innocent").hardlink_to(clone / "shadow")
    with pytest.raises(containers.LinkError, match="innocent has another hard link"):
        containers.set_owner(clone / "data", os.getuid() + 1, os.getgid())


@pytest.mark.parametrize("name", [".env", "data"])
def test_a_link_in_the_place_of_env_or_data_is_refused(clone: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    (clone / "outside").mkdir()
    (clone / "target").write_text("SEED=8\n")
    (clone / name).symlink_to(clone / ("target" if name == ".env" else "outside"))
    assert containers.main() == 1
    assert f"{name} is a symbolic link" in capsys.readouterr().err
    assert (clone / "target").read_text() == "SEED=8\n"


def test_a_pipe_does_not_block(clone: Path) -> None:
    (clone / "data").mkdir()
    os.mkfifo(clone / "data" / "pipe")
    assert containers.main() == 0


@pytest.mark.parametrize(("topic", "code"), [("finance", 0), ("trades", 78)])
def test_another_topic_than_the_lakes_is_refused(
    clone: Path, topic: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = Identity("lake", "cluster", "finance", "id", {0: 0}, "2026-11-26T00:00:00+00:00")
    create_tables(LakePaths(clone / "data"), identity)
    monkeypatch.delenv("KAFKA_TOPIC", raising=False)
    (clone / ".env.example").write_text("KAFKA_TOPIC=finance\nDATA_DIR=data\n")
    (clone / ".env").write_text(f"KAFKA_TOPIC={topic}\n")
    assert containers.IDENTITY_PROPERTY == PROPERTY
    assert containers.main() == code
    assert ("set KAFKA_TOPIC=finance" in capsys.readouterr().err) == bool(code)


def test_with_kraft_every_later_command_of_compose_uses_both_files(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRAFT", "1")
    assert containers.main() == containers.main() == 0
    assert (clone / ".env").read_text().count("COMPOSE_FILE=") == 1
    assert (clone / ".env").read_text().endswith("\nCOMPOSE_FILE=docker-compose.yml:compose.kraft.yml\n")
    monkeypatch.setenv("KRAFT", "0")
    assert containers.main() == 0
    assert "COMPOSE_FILE" not in (clone / ".env").read_text()


def test_kraft_may_be_chosen_in_the_file(clone: Path) -> None:
    (clone / ".env.example").write_text("KRAFT=0\nDATA_DIR=data\n")
    (clone / ".env").write_text("KRAFT=1\n")
    assert containers.main() == 0
    assert "COMPOSE_FILE=docker-compose.yml:compose.kraft.yml" in (clone / ".env").read_text()


@pytest.mark.parametrize(("version", "advice"), [(0, "without KRAFT=1"), (1, "with KRAFT=1")])
def test_a_lake_of_the_other_kind_of_kafka_is_refused_and_nothing_is_written(
    clone: Path, version: int, advice: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (clone / "data" / "kafka").mkdir(parents=True)
    (clone / "data" / "kafka" / "meta.properties").write_text(f"version={version}\n")
    monkeypatch.setenv("KRAFT", str(1 - version))
    assert containers.main() == 78
    assert f"start it {advice}" in capsys.readouterr().err
    assert not (clone / ".env").exists()


def test_with_brokers_of_others_compose_uses_their_file(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "data" / "kafka").mkdir(parents=True)
    (clone / "data" / "kafka" / "meta.properties").write_text(
        "version=1\n"
    )  # no broker is started on it, so its kind is no matter
    monkeypatch.setenv("KAFKA_BOOTSTRAP", "kafka.example.org:9092")
    assert containers.main() == 0
    assert (clone / ".env").read_text().endswith("\nCOMPOSE_FILE=docker-compose.yml:compose.broker.yml\n")
    monkeypatch.setenv("TICK_SOURCE", "none")
    assert containers.main() == 0
    files = "COMPOSE_FILE=docker-compose.yml:compose.broker.yml:compose.no-producer.yml\n"
    assert (clone / ".env").read_text().endswith(files)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        # An address that means the container itself.
        ({"KAFKA_BOOTSTRAP": "localhost:9092"}, "Use host.docker.internal"),
        ({"KAFKA_BOOTSTRAP": "127.0.0.1:9092"}, "Use host.docker.internal"),
        ({"KAFKA_BOOTSTRAP": "kafka:9092,127.1.2.3:9092"}, "Use host.docker.internal"),
        # Settings that exclude each other.
        ({"KAFKA_BOOTSTRAP": "kafka.example.org:9092", "KRAFT": "1"}, "set neither with KAFKA_BOOTSTRAP"),
        ({"KAFKA_BOOTSTRAP": "kafka.example.org:9092", "CLUSTER": "1"}, "set neither with KAFKA_BOOTSTRAP"),
        ({"KRAFT": "1", "CLUSTER": "1"}, "set only one of KRAFT and CLUSTER"),
        ({"S3": "1", "LAKE_URI": "s3://another/lake"}, "leave LAKE_URI empty, or set S3=0"),
        # A version that does not exist, or not with ZooKeeper.
        ({"KAFKA_VERSION": "4"}, "set KRAFT=1 too, or KAFKA_VERSION=3.9"),
        ({"KAFKA_VERSION": "5"}, "it must be 3.9 or 4"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_remedy(
    clone: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    remedy: str,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert containers.main() == 2
    assert remedy in capsys.readouterr().err
    assert not (clone / ".env").exists()


def test_a_lake_that_has_run_kafka_4_is_not_started_with_3_9(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "data" / "kraft").mkdir(parents=True)
    (clone / "data" / "kraft" / "kafka.version").write_text("4\n")
    monkeypatch.setenv("KRAFT", "1")
    assert containers.main() == 78
    assert "start it with KAFKA_VERSION=4" in capsys.readouterr().err
    monkeypatch.setenv("KAFKA_VERSION", "4")
    assert containers.main() == 0


def test_a_wrong_value_of_kraft_is_named(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRAFT", "yes")
    assert containers.main() == 2
    assert capsys.readouterr().err == "KRAFT='yes': it must be 0 or 1.\n"
    assert not (clone / ".env").exists()


def test_with_the_cluster_compose_uses_its_file_and_a_secret_is_drawn(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLUSTER", "1")
    assert containers.main() == 0
    assert (clone / ".env").read_text().endswith("\nCOMPOSE_FILE=docker-compose.yml:compose.cluster.yml\n")
    secret = clone / "data" / "secrets" / "spark"
    drawn = secret.read_text()
    assert len(drawn) > 40
    assert (secret.stat().st_uid, secret.stat().st_gid) == (secret.parent.stat().st_uid, secret.parent.stat().st_gid) == user()
    assert containers.main() == 0
    assert secret.read_text() == drawn


@pytest.mark.parametrize(
    ("cluster", "overlays"),
    [("0", "compose.s3.yml"), ("1", "compose.cluster.yml:compose.s3.yml:compose.cluster-s3.yml")],
)
def test_with_s3_compose_uses_its_file_too_and_keys_are_drawn(
    clone: Path, monkeypatch: pytest.MonkeyPatch, cluster: str, overlays: str
) -> None:
    monkeypatch.setenv("S3", "1")
    monkeypatch.setenv("CLUSTER", cluster)
    assert containers.main() == 0
    assert (clone / ".env").read_text().endswith(f"\nCOMPOSE_FILE=docker-compose.yml:{overlays}\n")
    keys = clone / "data" / "secrets" / "s3"
    assert (keys.stat().st_uid, keys.stat().st_gid) == user()
    assert keys.stat().st_mode & 0o777 == 0o600


def test_s3_is_refused_for_a_lake_on_the_disk(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("S3", "1")
    (clone / "data" / "finance_delta").mkdir(parents=True)
    assert containers.main() == 78
    assert "start it without S3=1" in capsys.readouterr().err
    assert not (clone / ".env").exists()


def test_an_invalid_file_is_refused_and_left_alone(clone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (clone / ".env").write_text("SEED='8'\nNO_SUCH_KEY=1\n")
    assert containers.main() == 2
    assert (clone / ".env").read_text() == "SEED='8'\nNO_SUCH_KEY=1\n"
    complaint = capsys.readouterr().err
    assert "line 1" in complaint
    assert "line 2" in complaint


def test_a_folder_of_another_user_is_named_with_the_remedy(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    (clone / "data").mkdir()
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(containers, "lake_user", lambda *_: (os.getuid() + 1, os.getgid()))
    assert containers.main() == 1
    assert re.search(r"data belongs to another user: `sudo chown -R", capsys.readouterr().err)
