"""The S3 server of S3=1, started by its script: its files, its keys, and the proxy with which tests disturb it."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from finance_storage.bucket import BucketPath, ObjectStore
from tests.support.s3_server import Fault, FaultProxy, S3Server
from tests.support.stack import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with S3Server(tmp_path_factory.mktemp("s3")) as started:
        yield started


def bucket(server: S3Server, endpoint: str) -> BucketPath:
    store = ObjectStore(endpoint, credentials_file=str(server.credentials_file))
    return BucketPath.of(store, server.settings()["LAKE_URI"])


def test_its_files_are_not_for_everyone_and_its_keys_are_on_no_command_line(server: S3Server) -> None:
    (bucket(server, server.endpoint) / "folder" / "object").write(b"content")
    file = server.folder / "s3" / "lake" / "finance" / "folder" / "object"
    assert file.read_bytes() == b"content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o750
    commands = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert any("versitygw" in command and f":{server.port}" in command for command in commands)
    assert not [command for command in commands if server.secret in command]
    assert server.secret not in server.text()


def test_what_it_has_acknowledged_is_there_after_kill_9(server: S3Server) -> None:
    kept = bucket(server, server.endpoint) / "kept"
    kept.write(b"content")
    server.kill()
    server.start()
    assert kept.read() == b"content"


@pytest.mark.parametrize("fault", Fault, ids=[fault.name for fault in Fault])
def test_a_client_that_tries_again_gets_through_the_proxy(server: S3Server, fault: Fault) -> None:
    with FaultProxy(server.port, seed=3, rates={fault: 0.4}, delay_seconds=0.1) as proxy:
        lake = bucket(server, proxy.endpoint)
        for number, size in enumerate((300, 200_000, 300)):
            content = os.urandom(size)
            (lake / f"object-{number}").write(content)
            assert (bucket(server, server.endpoint) / f"object-{number}").read() == content
        assert proxy.injected[fault] > 0


def test_a_link_in_the_place_of_its_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "s3").symlink_to(tmp_path / "outside")
    environment = {
        "PATH": os.environ["PATH"],
        "DATA_DIR": str(tmp_path / "data"),
        "S3_BUCKET": "lake",
        "REFUSE_LINKS": str(ROOT / "kafka" / "broker" / "refuse-links"),
    }
    started = subprocess.run([ROOT / "s3" / "run-s3"], env=environment, capture_output=True, text=True, check=False)
    assert started.returncode == 78
    assert "is a symbolic link" in started.stderr
    assert not list((tmp_path / "outside").iterdir())


def test_one_module_pins_the_server_and_keep_alive_is_never_set() -> None:
    assert "github.com/versity/versitygw v1.8.0 " in (ROOT / "s3" / "go.mod").read_text()
    assert "github.com/versity/versitygw v1.8.0 h1:" in (ROOT / "s3" / "go.sum").read_text()
    commands = [line for line in (ROOT / "s3" / "run-s3").read_text().splitlines() if not line.startswith("#")]
    assert not [line for line in commands if "keep-alive" in line]
