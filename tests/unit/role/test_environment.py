"""A process of the lake gets only the listed variables of its caller's environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finance_role import environment
from finance_role.environment import (
    FIXED,
    OF_TESTS,
    OF_THE_MACHINE,
    SETTINGS,
    UnusableScratchError,
    composed,
    foreign,
    make_scratch,
    scratch,
    stale_java_home,
)
from tests.support.disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

ALLOWED = {*FIXED, *OF_TESTS, *OF_THE_MACHINE, *SETTINGS, "JAVA_HOME"}
# Variables known to change files, results or the start of a JVM, Python or Spark.
HARMFUL = {
    "JAVA_TOOL_OPTIONS": "-Duser.language=ar -Duser.country=EG",
    "_JAVA_OPTIONS": "-Djava.io.tmpdir=/nowhere",
    "JDK_JAVA_OPTIONS": "-Xint",
    "CLASSPATH": "/elsewhere.jar",
    "KAFKA_OPTS": "-Dx=y",
    "KAFKA_HEAP_OPTS": "-Xmx8m",
    "KAFKA_JVM_PERFORMANCE_OPTS": "-Xint",
    "SPARK_HOME": "/opt/spark-3.2",
    "SPARK_CONF_DIR": "/etc/spark",
    "SPARK_LOCAL_DIRS": "/nowhere",
    "SPARK_SUBMIT_OPTS": "-Dx=y",
    "PYSPARK_SUBMIT_ARGS": "--bogus",
    "PYSPARK_PYTHON": "/usr/bin/python2",
    "HADOOP_CONF_DIR": "/etc/hadoop",
    "HADOOP_USER_NAME": "somebody",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "PYTHONIOENCODING": "latin-1",
    "PYTHONWARNINGS": "error",
    "LD_PRELOAD": "/elsewhere.so",
}
LOCALES = ["ar_EG.UTF-8", "tr_TR.UTF-8", "th_TH", "ja_JP.SJIS", "de_DE@euro", "C", "POSIX", ""]


def caller(variables: Mapping[str, str]) -> mock._patch_dict:
    return mock.patch.dict(os.environ, variables, clear=True)


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True) | st.sampled_from(
    [*HARMFUL, *FIXED, *SETTINGS, "LC_NUMERIC", "LANGUAGE", "TMPDIR", "JAVA_HOME", "http_proxy", "SSL_CERT_FILE"]
)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_process_gets_only_listed_variables_and_a_fixed_locale(variables: dict[str, str], own: dict[str, str]) -> None:
    with caller(variables):
        composition = composed(own)
    assert composition.keys() <= ALLOWED | own.keys()
    assert {**FIXED, **own}.items() <= composition.items()
    assert all(composition[key] == value for key, value in variables.items() if key in SETTINGS and key not in own)


@pytest.mark.parametrize("variable", HARMFUL)
def test_a_harmful_variable_is_not_passed_on_and_is_named(variable: str) -> None:
    with caller({variable: HARMFUL[variable], "PATH": "/bin"}):
        assert variable not in composed()
        assert foreign() == [variable]


def test_the_projects_settings_are_not_foreign() -> None:
    with caller(dict.fromkeys(SETTINGS, "x")):
        assert foreign() == []


def test_the_keys_of_env_can_be_left_out() -> None:
    with caller({"SEED": "8", "PATH": "/bin"}):
        assert composed()["SEED"] == "8"
        assert "SEED" not in composed(settings=False)


@pytest.mark.parametrize(
    ("release", "works"), [('JAVA_VERSION="17.0.15"', True), ('JAVA_VERSION="11.0.2"', False), ('JAVA_VERSION="1.8.0"', False)]
)
def test_a_java_home_counts_if_its_java_is_new_enough(tmp_path: Path, release: str, works: bool) -> None:  # noqa: FBT001
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch(0o755)
    (tmp_path / "release").write_text(f'IMPLEMENTOR="Debian"\n{release}\n')
    with caller({"JAVA_HOME": str(tmp_path)}):
        assert composed().get("JAVA_HOME") == (str(tmp_path) if works else None)
        assert stale_java_home() == (None if works else str(tmp_path))


@pytest.mark.parametrize("home", ["/opt/java-that-was-removed", "relative", "\x7f"])
def test_a_stale_java_home_is_ignored(home: str) -> None:
    with caller({"JAVA_HOME": home}):
        assert "JAVA_HOME" not in composed()
        assert stale_java_home() == home


@pytest.mark.parametrize("locale", LOCALES)
def test_a_role_started_directly_ignores_the_callers_locale(locale: str, tmp_path: Path) -> None:
    code = """
from finance_role.settings import RoleSettings, begin_role
begin_role(RoleSettings)
import os, time, pathlib
pathlib.Path('made').touch()
print(sorted(os.environ), time.tzname[0], os.environ['LC_ALL'], oct(pathlib.Path('made').stat().st_mode & 0o777))
"""
    hostile = {**HARMFUL, "LANG": locale, "LC_ALL": locale, "TZ": "Asia/Kathmandu", "PATH": os.environ["PATH"]}
    for key in ("PYTHONHOME", "PYTHONIOENCODING", "PYTHONWARNINGS", "LD_PRELOAD"):  # they act before any of our code
        hostile.pop(key)
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=hostile, capture_output=True, text=True, check=True)
    names = sorted({*FIXED, "PATH"})
    assert result.stdout == f"{names} UTC C.UTF-8 0o640\n"


@pytest.mark.parametrize(("umask", "mode"), [("0027", 0o640), ("022", 0o644), ("0077", 0o600)])
def test_the_umask_is_set(tmp_path: Path, umask: str, mode: int) -> None:
    code = f"from finance_role.environment import settle; settle({umask!r}); open('made', 'w').close()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert (tmp_path / "made").stat().st_mode & 0o777 == mode


def test_scratch_is_below_the_lake_private_and_emptied(tmp_path: Path) -> None:
    left = scratch(tmp_path, "kafka") / "libzstd.so"
    left.parent.mkdir(parents=True)
    left.touch()
    assert make_scratch(tmp_path, "kafka") == tmp_path / "run" / "tmp" / "kafka"
    assert not left.exists()
    assert left.parent.stat().st_mode & 0o777 == 0o700


def test_scratch_that_is_a_link_does_not_empty_its_target(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    (tmp_path / "run" / "tmp").mkdir(parents=True)
    scratch(tmp_path, "kafka").symlink_to(tmp_path / "precious")
    assert not make_scratch(tmp_path, "kafka").is_symlink()
    assert (tmp_path / "precious" / "file").exists()


def test_a_volume_without_execution_is_named_before_a_library_fails_to_load(tmp_path: Path) -> None:
    with small_disk(tmp_path, "noexec") as disk:
        if disk is None:
            pytest.skip("no permission to mount a volume")
        with pytest.raises(UnusableScratchError, match=re.escape(str(tmp_path)) + r".*noexec.*DATA_DIR"):
            make_scratch(tmp_path, "kafka")
        assert not environment.allows_execution(tmp_path)
    assert environment.allows_execution(tmp_path)
