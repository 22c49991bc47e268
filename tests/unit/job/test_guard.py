"""The guard refuses lakes with parts removed, rolled back, restored or mixed up, and names the fault."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_job.guard import StartupRefusedError, examine, open_lake
from finance_job.writer import Writer
from finance_kafka.describe import TopicDescription
from finance_kafka.offsets import OffsetRange
from finance_storage.accounting import find_inconsistencies
from finance_storage.delta_table import newest_metadata
from finance_storage.lake_identity import PROPERTY, Loss, identity_of, read_identity
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from tests.support.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered, three_batches

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    return three_batches(tmp_path)


def refusal(lake: BuiltLake, broker: TopicDescription | None = None) -> str:
    with pytest.raises(StartupRefusedError) as error:
        open_lake(lake.paths, TOPIC, broker or lake.broker)
    return str(error.value)


def accepts(lake: BuiltLake, broker: TopicDescription | None = None) -> bool:
    return open_lake(lake.paths, TOPIC, broker or lake.broker) == lake.identity


# ---- accepted lakes -----------------------------------------------------------------------------------------------------


def test_a_consistent_lake_is_accepted(lake: BuiltLake) -> None:
    assert accepts(lake)


def test_a_batch_that_died_between_its_commits_is_accepted(lake: BuiltLake) -> None:
    lake.commit(QUARANTINE, lake.write([GOOD, BAD, GOOD], 0, lake.plan(3)))
    assert accepts(lake)


def test_an_older_copy_of_ticks_is_accepted_and_filled_up(lake: BuiltLake, tmp_path: Path) -> None:
    shutil.copytree(lake.paths.ticks, tmp_path / "copy")
    lake.store([GOOD, BAD] * 4, partition=1)
    lake.store(numbered(4, first=15))
    shutil.rmtree(lake.paths.ticks)
    shutil.copytree(tmp_path / "copy", lake.paths.ticks)
    assert accepts(lake)
    assert Writer(lake.paths, lake.identity).half_committed() == {1: OffsetRange(3, 11)}


def test_a_partition_added_to_the_topic_is_accepted(lake: BuiltLake) -> None:
    lake.ends[2] = 0
    assert accepts(lake)
    lake.store([GOOD], partition=2)
    assert accepts(lake)


def test_known_losses_are_accepted(lake: BuiltLake) -> None:
    files = lake.write(numbered(5), 0, lake.plan(9) + 4)
    lake.commit(TICKS, files)
    assert "add up to" in refusal(lake)
    lake.note_losses(Loss(0, 16, 20, "Kafka has removed them", "2026-11-24T12:00:00+00:00"))
    assert accepts(lake)


# ---- creation --------------------------------------------------------------------------------------------------------------


def test_both_tables_are_created_with_the_lakes_identity_and_its_first_offsets(tmp_path: Path) -> None:
    broker = TopicDescription("a-cluster", "a-topic", {0: 7, 1: 0}, {0: 9, 1: 0})
    identity = open_lake(LakePaths(tmp_path), TOPIC, broker)
    assert (identity.cluster, identity.topic_id, identity.first) == ("a-cluster", "a-topic", {0: 7, 1: 0})
    for name in (TICKS, QUARANTINE):
        table = DeltaTable(str(LakePaths(tmp_path).table(name)))
        metadata = newest_metadata(table, LakePaths(tmp_path).table(name))
        assert identity_of(table) == identity
        assert metadata is not None
        assert (metadata.position, metadata.lake, metadata.is_first) == ({0: 7, 1: 0}, identity.lake, True)
    assert open_lake(LakePaths(tmp_path), TOPIC, broker) == identity


@pytest.mark.parametrize("missing", [TICKS, QUARANTINE])
def test_an_interrupted_creation_is_completed_with_the_same_identity(tmp_path: Path, missing: str) -> None:
    broker = TopicDescription("a-cluster", "a-topic", {0: 0}, {0: 9})
    identity = open_lake(LakePaths(tmp_path), TOPIC, broker)
    shutil.rmtree(LakePaths(tmp_path).table(missing))
    assert open_lake(LakePaths(tmp_path), TOPIC, broker) == identity
    assert read_identity(LakePaths(tmp_path)) == identity


def test_the_tables_alone_are_the_lake(lake: BuiltLake, tmp_path: Path) -> None:
    elsewhere = LakePaths(tmp_path / "elsewhere")
    for name in (TICKS, QUARANTINE):
        shutil.copytree(lake.paths.table(name), elsewhere.table(name))
    assert open_lake(elsewhere, TOPIC, lake.broker) == lake.identity
    assert Writer(elsewhere, lake.identity).position == {0: 16, 1: 3}


# ---- the tables ---------------------------------------------------------------------------------------------------------


def newest_entry(lake: BuiltLake, name: str) -> Path:
    return max((lake.paths.table(name) / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
def test_a_missing_table_is_refused(lake: BuiltLake, name: str) -> None:
    shutil.rmtree(lake.paths.table(name))
    assert f"the table {lake.paths.table(name).name} is missing" in refusal(lake)


def test_a_missing_newest_commit_is_stored_again(lake: BuiltLake) -> None:
    newest_entry(lake, TICKS).unlink()
    assert accepts(lake)
    assert Writer(lake.paths, lake.identity).position == {0: 11, 1: 3}


def test_an_older_copy_of_the_quarantine_is_refused(lake: BuiltLake) -> None:
    newest_entry(lake, QUARANTINE).unlink()
    assert "the commits of both tables add up to 17 records, their offsets to 19" in refusal(lake)


def test_tables_of_two_lakes_are_refused(lake: BuiltLake, tmp_path: Path) -> None:
    lake.mix_with_another_lake(tmp_path / "other")
    assert "finance_quarantine to another" in refusal(lake)


def test_tables_without_an_identity_are_refused(lake: BuiltLake) -> None:
    lake.lose_identity()
    assert "do not say which topic they hold" in refusal(lake)


def test_an_identity_that_cannot_be_read_is_refused(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.set_table_properties({PROPERTY: "{"}, raise_if_not_exists=False)
    assert f"the property {PROPERTY}" in refusal(lake)


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_an_empty_or_torn_log_entry_is_refused(lake: BuiltLake, name: str, share: float) -> None:
    path = newest_entry(lake, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in refusal(lake)


def test_a_gap_in_the_log_is_refused(lake: BuiltLake) -> None:
    (lake.paths.ticks / "_delta_log" / f"{2:020d}.json").unlink()
    assert "is missing" in refusal(lake)


def test_a_restored_table_is_refused(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).restore(2)
    assert "5 were removed by another writer" in refusal(lake)


@pytest.mark.parametrize(("name", "predicate"), [(TICKS, "kafka_offset = 3"), (QUARANTINE, "kafka_partition = 1")])
def test_deleted_rows_are_refused(lake: BuiltLake, name: str, predicate: str) -> None:
    DeltaTable(str(lake.paths.table(name))).delete(predicate)
    assert "were removed by another writer" in refusal(lake)


def test_a_foreign_append_is_refused(lake: BuiltLake) -> None:
    files = lake.write([GOOD], 0, 3)
    lake.append(TICKS, [file for file in files if file.table == TICKS])
    assert "1 were added by another writer" in refusal(lake)


# ---- the broker ---------------------------------------------------------------------------------------------------------


def test_another_topic_is_refused_as_such(lake: BuiltLake) -> None:
    with pytest.raises(StartupRefusedError, match="KAFKA_TOPIC is trades, the lake holds topic finance"):
        open_lake(lake.paths, "trades", replace(lake.broker, topic_id="that of trades"))


def test_another_cluster_is_refused(lake: BuiltLake) -> None:
    assert "belongs to Kafka cluster other" in refusal(lake, replace(lake.broker, cluster="other"))


def test_a_recreated_topic_is_refused_whatever_it_holds(lake: BuiltLake) -> None:
    recreated = replace(lake.broker, topic_id="other", end={0: 10_000, 1: 10_000})
    assert "deleted and created again" in refusal(lake, recreated)


def test_a_topic_that_lost_records_which_the_lake_needs_is_refused(lake: BuiltLake) -> None:
    message = refusal(lake, replace(lake.broker, first={0: 20, 1: 3}, end={0: 30, 1: 5}))
    assert "offsets 16 to 19 of partition 0" in message
    assert "make recover" in message


def test_a_topic_that_is_shorter_than_the_lake_is_refused(lake: BuiltLake) -> None:
    message = refusal(lake, replace(lake.broker, end={0: 12, 1: 3}))
    assert "partition 0 ends at offset 12, the lake holds it up to 16" in message


def test_each_refusal_is_one_line_with_a_remedy(lake: BuiltLake) -> None:
    for broker in (replace(lake.broker, cluster="x"), replace(lake.broker, first={0: 20, 1: 3})):
        for inconsistency in find_inconsistencies(examine(lake.paths, broker)):
            assert "\n" not in str(inconsistency)
            assert "`make " in str(inconsistency)
