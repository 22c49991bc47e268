"""Jars are accepted only with the SHA-256 in the lock file."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "jars").glob("*.lock"))
GOOD, OTHER = b"the jar", b"another jar"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("jars_fetch", ROOT / "jars" / "fetch.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fetch = script()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/java")
    path = tmp_path / "some.lock"
    path.write_text(f"# Jars.\n{sha256(GOOD)}  org.one:one:1.0\n\n{sha256(OTHER)}  org.two:two:2.0 # a remark\n")
    return path


def ivy_brings(monkeypatch: pytest.MonkeyPatch, files: dict[str, bytes]) -> list[list[str]]:
    """Replace Ivy's download by these files; the returned list names the requested ones."""
    requested: list[list[str]] = []

    def retrieve(jars: Iterable[Any], _ivy: Path, scratch: Path) -> Path:
        requested.append([jar.file_name for jar in jars])
        folder = scratch / "jars"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return folder

    monkeypatch.setattr(fetch, "retrieve", retrieve)
    return requested


def run(lock: Path) -> Path:
    folder = lock.parent / "jars"
    fetch.fetch(lock, folder, Path("ivy.jar"))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_lock_file_is_read_without_its_comments(lock: Path) -> None:
    assert fetch.read_lock(lock.read_text()) == [
        fetch.Jar(sha256(GOOD), "org.one", "one", "1.0"),
        fetch.Jar(sha256(OTHER), "org.two", "two", "2.0"),
    ]


def test_only_the_locked_jars_are_kept(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ivy_brings(monkeypatch, {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER, "three-3.0.jar": b"uninvited"})
    assert contents(run(lock)) == {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER}


def test_a_jar_with_another_checksum_is_refused_and_named(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ivy_brings(monkeypatch, {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER + b"!"})
    with pytest.raises(SystemExit, match=r"two-2\.0\.jar does not match .* refused"):
        run(lock)
    assert "two-2.0.jar" not in contents(lock.parent / "jars")


def test_a_jar_that_was_not_downloaded_is_an_error(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ivy_brings(monkeypatch, {"two-2.0.jar": OTHER})
    with pytest.raises(SystemExit, match=r"one-1\.0\.jar"):
        run(lock)


def test_only_missing_or_damaged_jars_are_fetched(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requested = ivy_brings(monkeypatch, {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER})
    folder = run(lock)
    (folder / "two-2.0.jar").write_bytes(b"damaged")
    run(lock)
    run(lock)
    assert requested == [["one-1.0.jar", "two-2.0.jar"], ["two-2.0.jar"]]
    assert contents(folder) == {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER}


def test_existing_jars_need_no_java(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ivy_brings(monkeypatch, {"one-1.0.jar": GOOD, "two-2.0.jar": OTHER})
    run(lock)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    run(lock)


def test_a_missing_java_is_named_with_the_command_that_installs_it(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SystemExit, match=r"Java 17 is missing.*apt-get install.*brew install"):
        run(lock)


def test_ivy_fetches_these_jars_without_their_dependencies(lock: Path) -> None:
    dependencies = fetch.ivy_module(fetch.read_lock(lock.read_text())).getroot().findall("dependencies/dependency")
    assert [(item.get("org"), item.get("name"), item.get("rev"), item.get("transitive")) for item in dependencies] == [
        ("org.one", "one", "1.0", "false"),
        ("org.two", "two", "2.0", "false"),
    ]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_the_projects_lock_files_name_each_jar_once_with_a_checksum(path: Path) -> None:
    jars = fetch.read_lock(path.read_text())
    names = [(jar.group, jar.artifact) for jar in jars]
    assert len(set(names)) == len(names) > 0
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
