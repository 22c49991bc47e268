"""The guard on lakes whose parts have been removed, rolled back, restored or mixed up: each a refusal that names the fault."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from deltalake import DeltaTable

from finance_job.guard import RefusedError, examine, open_lake
from finance_lake.state import accounting
from finance_lake.state.accounting import disagreements
from finance_lake.state.identity import Loss, read_identity, write_identity
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from tests.lakes import BAD, GOOD, TOPIC, BuiltLake, numbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    built = BuiltLake(tmp_path, partitions=2)
    built.store([*numbered(10), BAD])
    built.store([GOOD, BAD, BAD], partition=1)
    built.store(numbered(5, first=10))
    return built


def refusal(lake: BuiltLake, broker: accounting.Broker | None = None) -> str:
    with pytest.raises(RefusedError) as refused:
        open_lake(lake.layout, TOPIC, broker or lake.broker)
    return str(refused.value)


def accepts(lake: BuiltLake, broker: accounting.Broker | None = None) -> bool:
    return open_lake(lake.layout, TOPIC, broker or lake.broker) == read_identity(lake.layout.identity)


# ---- what is in order ---------------------------------------------------------------------------------------------------


def test_a_lake_whose_parts_belong_together_goes_on(lake: BuiltLake) -> None:
    assert accepts(lake)


def test_a_batch_that_was_planned_only_is_in_order(lake: BuiltLake) -> None:
    lake.plan(4)
    assert accepts(lake)


@pytest.mark.parametrize("tables", [[QUARANTINE], [QUARANTINE, TICKS], [TICKS]])
def test_a_batch_that_died_between_its_commits_is_in_order(lake: BuiltLake, tables: list[str]) -> None:
    values = [GOOD, BAD, GOOD] if QUARANTINE in tables else [GOOD, GOOD]
    files = lake.write(values, 0, lake.plan(len(values)))
    for name in tables:
        lake.commit(name, files)
    assert accepts(lake)


def test_a_partition_that_was_added_to_the_topic_is_in_order(lake: BuiltLake) -> None:
    lake.ends[2] = 0
    assert accepts(lake)
    lake.store([GOOD], partition=2)
    assert accepts(lake)


def test_known_losses_are_no_refusal(lake: BuiltLake) -> None:
    files = lake.write(numbered(5), 0, lake.plan(9) + 4)
    lake.commit(TICKS, files)
    lake.close()
    assert "add up to" in refusal(lake)
    loss = Loss(0, 16, 20, "Kafka has removed them", "2026-11-24T12:00:00+00:00")
    write_identity(lake.layout.identity, msgspec.structs.replace(lake.identity, losses=(loss,)))
    assert accepts(lake)


# ---- birth --------------------------------------------------------------------------------------------------------------


def test_birth_records_identities_and_first_offsets_in_lake_json_and_checkpoint(tmp_path: Path) -> None:
    broker = accounting.Broker("a-cluster", "a-topic", {0: 7, 1: 0}, {0: 9, 1: 0})
    identity = open_lake(Layout(tmp_path), TOPIC, broker)
    assert (identity.cluster, identity.topic_id, identity.first) == ("a-cluster", "a-topic", {0: 7, 1: 0})
    assert json.loads((Layout(tmp_path).checkpoint / "metadata").read_text()) == {"id": identity.query}
    assert (Layout(tmp_path).checkpoint / "sources/0/0").read_bytes() == b'\0v1\n{"finance": {"0": 7, "1": 0}}'
    assert open_lake(Layout(tmp_path), TOPIC, broker) == identity


@pytest.mark.parametrize("lost", [["metadata"], ["metadata", "sources"]])
def test_a_lake_that_died_in_birth_is_born_with_the_same_identity(tmp_path: Path, lost: list[str]) -> None:
    lake = BuiltLake(tmp_path)
    for name in lost:
        path = lake.layout.checkpoint / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert open_lake(lake.layout, TOPIC, lake.broker) == lake.identity
    assert lake.checkpoint.query_id() == lake.identity.query
    assert lake.checkpoint.initial_offsets() == {0: 0}


def test_tables_without_a_row_are_no_lake_yet(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path)
    lake.layout.identity.unlink()
    shutil.rmtree(lake.layout.checkpoint)
    assert open_lake(lake.layout, TOPIC, lake.broker).topic_id == lake.identity.topic_id


# ---- the checkpoint -----------------------------------------------------------------------------------------------------


def remove_newest(lake: BuiltLake, *folders: str, count: int = 1) -> None:
    for folder in folders:
        files = sorted((lake.layout.checkpoint / folder).iterdir(), key=lambda path: int(path.name))
        for path in files[-count:]:
            path.unlink()


def test_a_checkpoint_that_is_gone_is_refused(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    assert "checkpoint is missing, the table is not" in refusal(lake)


def test_a_checkpoint_without_its_metadata_is_refused(lake: BuiltLake) -> None:
    (lake.layout.checkpoint / "metadata").unlink()
    assert "checkpoint is missing" in refusal(lake)


def test_a_checkpoint_of_another_query_is_refused(lake: BuiltLake) -> None:
    (lake.layout.checkpoint / "metadata").write_text('{"id": "another"}')
    assert "belongs to query another" in refusal(lake)


def test_a_checkpoint_that_was_begun_again_is_refused(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    lake.checkpoint.begin(lake.identity.query, TOPIC, {0: 0, 1: 0})
    said = refusal(lake)
    assert "stored batch 2 and stands at offsets 0:16,1:3" in said
    assert "19 records would be read again" in said


@pytest.mark.parametrize("count", [1, 2])
def test_a_checkpoint_that_was_rolled_back_is_refused(lake: BuiltLake, count: int) -> None:
    remove_newest(lake, "offsets", "commits", count=count)
    assert f"the checkpoint is at batch {2 - count}" in refusal(lake)


def test_offsets_without_their_commits_are_refused(lake: BuiltLake) -> None:
    remove_newest(lake, "commits", count=2)
    assert "has closed batch 0 and planned 2" in refusal(lake)


def test_commits_without_their_offsets_are_refused(lake: BuiltLake) -> None:
    remove_newest(lake, "offsets")
    assert "has closed batch 2 and planned 1" in refusal(lake)


def test_the_newest_commit_file_alone_may_be_gone(lake: BuiltLake) -> None:
    remove_newest(lake, "commits")
    assert accepts(lake)


@pytest.mark.parametrize("file", ["metadata", "sources/0/0", "offsets/2", "offsets/0", "commits/2"])
@pytest.mark.parametrize("share", [0.0, 0.7])
def test_a_file_of_the_checkpoint_that_is_empty_or_torn_is_refused(lake: BuiltLake, file: str, share: float) -> None:
    path = lake.layout.checkpoint / file
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    said = refusal(lake)
    assert str(path) in said
    assert ("torn" if share else "empty") in said


# ---- the tables ---------------------------------------------------------------------------------------------------------


def newest_entry(lake: BuiltLake, name: str) -> Path:
    return max((lake.layout.table(name) / "_delta_log").glob("*.json"))


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
def test_a_table_that_is_gone_is_refused(lake: BuiltLake, name: str) -> None:
    shutil.rmtree(lake.layout.table(name))
    assert f"{lake.layout.table(name).name} is missing, the checkpoint is not" in refusal(lake)


def test_both_tables_gone_are_refused(lake: BuiltLake) -> None:
    for name in (TICKS, QUARANTINE):
        shutil.rmtree(lake.layout.table(name))
    assert "is missing, the checkpoint is not" in refusal(lake)


def test_tables_gone_under_a_checkpoint_that_recover_has_begun_are_refused(lake: BuiltLake) -> None:
    shutil.rmtree(lake.layout.checkpoint)
    lake.checkpoint.begin(lake.identity.query, TOPIC, lake.ends)
    for name in (TICKS, QUARANTINE):
        shutil.rmtree(lake.layout.table(name))
    assert "is missing, the checkpoint is not" in refusal(lake)


def test_a_commit_that_is_gone_is_refused(lake: BuiltLake) -> None:
    newest_entry(lake, TICKS).unlink()
    said = refusal(lake)
    assert "stored batch 1 and stands at offsets 0:11,1:3" in said
    assert "5 records between them would never be stored" in said


def test_a_commit_that_is_gone_with_its_closing_is_stored_again(lake: BuiltLake) -> None:
    newest_entry(lake, TICKS).unlink()
    remove_newest(lake, "commits")
    assert accepts(lake)


@pytest.mark.parametrize("name", [TICKS, QUARANTINE])
@pytest.mark.parametrize("share", [0.0, 0.9])
def test_an_entry_of_the_log_that_is_empty_or_torn_is_refused(lake: BuiltLake, name: str, share: float) -> None:
    path = newest_entry(lake, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert str(path) in refusal(lake)


def test_an_entry_missing_between_two_others_is_refused(lake: BuiltLake) -> None:
    (lake.layout.ticks / "_delta_log" / f"{2:020d}.json").unlink()
    assert "is missing" in refusal(lake)


def test_a_restored_table_is_refused(lake: BuiltLake) -> None:
    DeltaTable(str(lake.layout.ticks)).restore(2)
    assert "5 were removed by somebody else" in refusal(lake)


@pytest.mark.parametrize(("name", "predicate"), [(TICKS, "kafka_offset = 3"), (QUARANTINE, "kafka_partition = 1")])
def test_deleted_rows_are_refused(lake: BuiltLake, name: str, predicate: str) -> None:
    DeltaTable(str(lake.layout.table(name))).delete(predicate)
    assert "were removed by somebody else" in refusal(lake)


def test_a_foreign_append_is_refused(lake: BuiltLake) -> None:
    files = lake.write([GOOD], 0, 3)
    lake.append(TICKS, [file for file in files if file.table == TICKS], None, None)
    assert "1 were added by somebody else" in refusal(lake)


def test_a_quarantine_ahead_of_the_plan_is_refused(lake: BuiltLake) -> None:
    files = lake.write([BAD], 0, lake.plan(1))
    lake.commit(QUARANTINE, files)
    remove_newest(lake, "offsets")
    assert "which the checkpoint has not planned" in refusal(lake)


def test_a_half_committed_batch_of_another_contract_version_is_refused(lake: BuiltLake) -> None:
    files = lake.write([GOOD, BAD], 0, lake.plan(2))
    lake.commit(QUARANTINE, files, contract=99)
    assert "under contract version 99" in refusal(lake)
    lake.commit(TICKS, files)
    assert accepts(lake)


# ---- lake.json and the broker -------------------------------------------------------------------------------------------


def test_a_lake_without_its_certificate_is_refused(lake: BuiltLake) -> None:
    lake.layout.identity.unlink()
    assert "lake.json is missing" in refusal(lake)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cluster": 7}'])
def test_a_certificate_that_cannot_be_read_is_refused(lake: BuiltLake, content: str) -> None:
    lake.layout.identity.write_text(content)
    assert "lake.json is damaged" in refusal(lake)


def test_another_cluster_is_refused(lake: BuiltLake) -> None:
    assert "belongs to Kafka cluster other" in refusal(lake, replace(lake.broker, cluster="other"))


def test_a_topic_that_was_made_again_is_refused_however_much_it_holds(lake: BuiltLake) -> None:
    again = replace(lake.broker, topic_id="other", end={0: 10_000, 1: 10_000})
    assert "deleted and made again" in refusal(lake, again)


def test_a_topic_that_has_lost_records_before_the_lake_had_them_is_refused(lake: BuiltLake) -> None:
    said = refusal(lake, replace(lake.broker, first={0: 20, 1: 3}, end={0: 30, 1: 5}))
    assert "offsets 16 to 19 of partition 0" in said
    assert "make recover" in said


def test_a_topic_that_is_shorter_than_the_lake_is_refused(lake: BuiltLake) -> None:
    said = refusal(lake, replace(lake.broker, end={0: 12, 1: 3}))
    assert "partition 0 ends at offset 12, the lake holds it up to 16" in said


# ---- all combinations of a power cut ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(8))
@pytest.mark.parametrize("bad", [[], [BAD]])
def test_a_power_cut_ends_in_a_refusal_or_in_a_state_that_goes_on(lake: BuiltLake, cut: int, bad: list[bytes]) -> None:
    lake.store([*numbered(3, first=15), *bad])
    newest: list[Callable[[], Path]] = [
        lambda: lake.layout.checkpoint / "offsets" / str(lake.batch),
        lambda: newest_entry(lake, TICKS),
        lambda: lake.layout.checkpoint / "commits" / str(lake.batch),
    ]
    for bit, find in enumerate(newest):
        if cut >> bit & 1:
            find().write_bytes(b"")
    if cut:
        assert "is empty" in refusal(lake)
    else:
        assert accepts(lake)


def test_refusals_are_one_line_each_and_name_a_remedy(lake: BuiltLake) -> None:
    for broker in (replace(lake.broker, cluster="x"), replace(lake.broker, first={0: 20, 1: 3})):
        for found in disagreements(examine(lake.layout, broker)):
            assert "\n" not in str(found)
            assert "`make " in str(found)
