"""The package: sdist and wheel, built from the files in git, installed in a new virtualenv and used outside of the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.lakes import BuiltLake, numbered
from tests.support.stack import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = "lake/finance_lake/dashboard/page/vendor"
# The caller's environment as it is now, with what an installer needs, such as certificates: a Spark session in this process
# would later remove most of it.
CALLERS = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "DATA_DIR", "VIRTUAL_ENV"}}
BUILD = "from setuptools import build_meta; print(build_meta.{what}('{folder}'))"


def run(*command: str | Path, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([*map(str, command)], cwd=cwd, env=CALLERS, capture_output=True, text=True)
    assert result.returncode == 0 or not check, f"{command}: {result.stdout}\n{result.stderr}"
    return result


def build(source: Path, what: str, folder: Path) -> Path:
    """Run the build backend; return the path of its result."""
    script = BUILD.format(what=what, folder=folder)
    return folder / run(sys.executable, "-c", script, cwd=source).stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist from a copy of the files in git and the page's library, and the wheel from the sdist."""
    folder, source = (tmp_path_factory.mktemp(name) for name in ("dist", "source"))
    for name in run("git", "ls-files", cwd=ROOT).stdout.splitlines():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    shutil.copytree(ROOT / PAGE, source / PAGE)
    sdist = build(source, "build_sdist", folder)
    shutil.unpack_archive(sdist, folder)
    return build(folder / sdist.name.removesuffix(".tar.gz"), "build_wheel", folder)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with the dashboard extra in a new virtualenv; return its folder of commands."""
    folder = tmp_path_factory.mktemp("outside")
    uv = Path(sys.executable).parent / "uv"
    run(uv, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    # Use the locked versions, so that a new release of a dependency does not fail this test.
    locked = ROOT / "requirements" / "dev.txt"
    run(uv, "pip", "install", "--quiet", "--python", python, "-c", locked, f"{wheel}[dashboard]", cwd=folder)
    return python.parent


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> BuiltLake:
    built = BuiltLake(tmp_path_factory.mktemp("a lake"))
    built.store(numbered(50))
    return built


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder outside of the checkout."""
    return tmp_path


def test_the_command_and_the_package_have_one_version(installed: Path, outside: Path) -> None:
    output = run(installed / "financelake", "--version", cwd=outside).stdout
    assert output == f"financelake {PROJECT['version']}\n"
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\d+\.\d+\.\d+)", changes, re.MULTILINE)[1] == PROJECT["version"]  # type: ignore[index]


@pytest.mark.parametrize(
    "words",
    [
        ("status", "--json"),
        ("show",),
        ("bars", "AAPL", "--json"),
        ("sql", "SELECT count(*) AS ticks FROM ticks", "--json"),
        ("history", "--json"),
        ("quarantine", "--json"),
        ("export", "ticks.csv"),
        ("verify", "--no-broker", "--json"),
    ],
    ids=lambda words: words[0],
)
def test_commands_work_outside_of_the_checkout(installed: Path, lake: BuiltLake, outside: Path, words: tuple[str, ...]) -> None:
    result = run(installed / "financelake", *words, "--data", lake.paths.root, cwd=outside)
    assert "Traceback" not in result.stderr
    if "--json" in words:
        assert json.loads(result.stdout.splitlines()[-1])
    if "verify" in words:
        assert json.loads(result.stdout)["verdict"] == "complete"
    if "sql" in words:
        assert "50" in result.stdout


def test_a_script_imports_the_package(installed: Path, lake: BuiltLake, outside: Path) -> None:
    script = "import sys, finance_lake as fl; print(fl.open(sys.argv[1]).sql('SELECT count(*) FROM ticks').rows())"
    assert "50" in run(installed / "python", "-c", script, lake.paths.root, cwd=outside).stdout


def test_a_missing_extra_is_named(installed: Path, lake: BuiltLake, outside: Path) -> None:
    result = run(installed / "financelake", "notebook", "--data", lake.paths.root, cwd=outside, check=False)
    assert result.returncode == 1
    assert "marimo" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.fixture
def page(installed: Path, lake: BuiltLake, outside: Path) -> Iterator[str]:
    port = free_port()
    command = [installed / "financelake", "serve", "--data", lake.paths.root, "--port", str(port)]
    with (outside / "serve.log").open("w") as log:
        process = subprocess.Popen([*map(str, command)], cwd=outside, stdout=log, stderr=log, env=CALLERS)
    try:
        wait_until(lambda: "http" in (outside / "serve.log").read_text(), 30, (outside / "serve.log").read_text)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_the_dashboard_has_its_page_and_its_library(page: str) -> None:
    for path in ("/", "/vendor/lightweight-charts.js", "/api/status"):
        with urllib.request.urlopen(f"{page}{path}", timeout=20) as answer:  # noqa: S310 (our own)
            assert answer.status == 200
            assert answer.read()
