"""How the job's JVM is started: its options, whatever the paths look like, and nothing secret among them."""

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
    found: list[str] = []
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
            found, word = [*found, word], ""
        else:
            word += letter
    return [*found, word]


@pytest.mark.parametrize("path", PATHS)
def test_an_option_with_a_path_stays_one_option(path: str) -> None:
    options = parsed(java_options(Path(path), f"-XX:SharedArchiveFile={path}/spark.jsa"))
    assert f"-Djava.io.tmpdir={path}" in options
    assert f"-XX:SharedArchiveFile={path}/spark.jsa" in options
    assert all(option.startswith("-") for option in options)


def test_language_time_zone_and_encoding_are_named() -> None:
    wanted = {"-Duser.language=en", "-Duser.country=US", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8"}
    assert wanted <= set(parsed(java_options(Path("/tmp"))))  # noqa: S108 (nothing is written)


def test_a_secret_is_asked_for_and_stands_in_no_option() -> None:
    options = spark_options(Settings(), Path("/scratch"))
    assert options["spark.authenticate"] == "true"
    assert not [key for key in options if "secret" in key]
