"""The quarantine as shown to users: counted by reason, sampled, and safe for a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from finance_lake.cli import app
from finance_lake.quarantine import printable, quarantined
from tests.support.lakes import BAD, GOOD, BuiltLake

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = b"\x1b[2J\x07{\xff\xe2\x80\xae[bold red]\n"


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    built = BuiltLake(tmp_path, partitions=2)
    built.store([GOOD, BAD, HOSTILE, None, BAD])
    built.store([BAD], partition=1)
    return built


def test_records_are_counted_by_reason_and_sampled(lake: BuiltLake) -> None:
    found = quarantined(lake.paths, 2)
    assert found.counts == {"price_type": 3, "invalid_utf8": 1, "tombstone": 1}
    assert [sample.reason for sample in found.samples] == ["price_type"] * 2 + ["invalid_utf8", "tombstone"]
    (tombstone,) = (sample for sample in found.samples if sample.reason == "tombstone")
    assert (tombstone.partition, tombstone.offset, tombstone.value) == (0, 3, None)


def test_no_control_character_of_a_record_reaches_the_terminal(lake: BuiltLake) -> None:
    shown = CliRunner().invoke(app, ["quarantine", "--data", str(lake.paths.root)])
    assert shown.exit_code == 0
    assert "\\x1b[2J" in shown.output
    assert all(character == "\n" or " " <= character <= "~" for character in shown.output)
    assert shown.stdout.splitlines()[-1] == "5 records in quarantine."


def test_json_is_one_object(lake: BuiltLake) -> None:
    shown = CliRunner().invoke(app, ["quarantine", "--json", "--samples", "1", "--data", str(lake.paths.root)])
    answer = json.loads(shown.output)
    assert sum(answer["counts"].values()) == 5
    assert len(answer["samples"]) == 3


def test_a_folder_without_a_lake_is_named_with_the_command_that_fills_it(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["quarantine", "--data", str(tmp_path)])
    assert shown.exit_code == 2
    assert "make local" in shown.output


def test_a_long_value_is_truncated() -> None:
    assert printable(b"x" * 500) == "x" * 96 + " ..."
