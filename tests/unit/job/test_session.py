"""The options of the job's JVM: correct for any path, and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from finance_job.config import Settings
from finance_job.session import java_options, spark_options

PATHS = [
    "/data",
    "/with a space",
    "/a,b",
    '/quote"d',
    "/back\\slash",
    "/ap'ostrophe",
    "/per%20cent",
    "/dürr 中",
    "/$HOME",
    "/*",
]


def parsed(options: str) -> list[str]:
    """Split as org.apache.spark.launcher.CommandBuilderUtils.parseOptionString does."""
    words: list[str] = []
    word, quote, escaped = "", "", False
    for letter in options:
        if escaped:
            word, escaped = word + letter, False
        elif letter == "\\" and quote != "'":
            escaped = True
        elif letter == quote:
            quote = ""
        elif letter in "\"'" and not quote:
            quote = letter
        elif letter == " " and not quote:
            words, word = [*words, word], ""
        else:
            word += letter
    return [*words, word]


@pytest.mark.parametrize("path", PATHS)
def test_an_option_with_a_path_stays_one_option(path: str) -> None:
    options = parsed(java_options(Path(path), f"-XX:SharedArchiveFile={path}/spark.jsa"))
    assert f"-Djava.io.tmpdir={path}" in options
    assert f"-XX:SharedArchiveFile={path}/spark.jsa" in options
    assert all(option.startswith("-") for option in options)


def test_language_time_zone_and_encoding_are_set() -> None:
    expected = {"-Duser.language=en", "-Duser.country=US", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8"}
    assert expected <= set(parsed(java_options(Path("/tmp"))))  # noqa: S108 (nothing is written)


def test_only_a_test_adds_options(monkeypatch: pytest.MonkeyPatch) -> None:
    before = parsed(java_options(Path("/tmp")))  # noqa: S108 (nothing is written)
    monkeypatch.setenv("JVM_OF_TESTS", "-Xint -Dmade=up")
    assert set(parsed(java_options(Path("/tmp")))) - set(before) == {"-Xint", "-Dmade=up"}  # noqa: S108 (likewise)


def test_authentication_is_on_and_no_option_has_the_secret() -> None:
    options = spark_options(Settings(), Path("/scratch"))
    assert options["spark.authenticate"] == "true"
    assert not [key for key in options if "secret" in key]
