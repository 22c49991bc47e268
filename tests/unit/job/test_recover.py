"""Recover on damaged lakes: afterwards each record that Kafka still has is stored once, and the guard lets the job start.

Kafka is replaced by the values that the test stored; tests/stack/test_guard.py uses a real broker.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from finance_job.guard import open_lake
from finance_job.repair import recover
from finance_job.repair.altered_rows import altered_rows, report_of
from finance_job.repair.recover import Recovery, spans_in
from finance_job.repair.recovery_plan import RecoverError, RecoveryPlan, make_plan
from finance_job.writer import Writer
from finance_kafka.offsets import OffsetRange
from finance_role import beneath
from finance_storage import digest, offset_set
from finance_storage.delta_table import newest_metadata
from finance_storage.lake_identity import PROPERTY, read_identity
from finance_storage.paths import QUARANTINE, TICKS
from tests.support.lakes import BAD, GOOD, RECORDS, TOPIC, BuiltLake, numbered, three_batches
from tests.support.tampering import rewrite, set_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from finance_kafka.describe import TopicDescription

# The records of `three_batches`.
VALUES = {0: [*numbered(10), BAD, *numbered(5, first=10)], 1: [GOOD, BAD, BAD]}


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    return three_batches(tmp_path)


def replay(lake: BuiltLake, ranges: Mapping[int, OffsetRange]) -> Iterator[pa.RecordBatch]:
    for partition, span in ranges.items():
        for offset in range(span.start, span.end):
            row = {"key": b"AAPL", "value": VALUES[partition][offset], "partition": partition, "offset": offset}
            yield pa.RecordBatch.from_pylist([{**row, "timestamp": lake.arrived}], RECORDS)


def recovered(
    lake: BuiltLake, broker: TopicDescription | None = None, skip: offset_set.OffsetSet | None = None
) -> RecoveryPlan:
    broker = broker or lake.broker
    plan = make_plan(lake.paths, TOPIC, broker, skip or {}, altered_rows(report_of(lake.paths, TOPIC, broker)))
    assert all("\n" not in step for step in plan.steps())
    Recovery(lake.paths, partial(replay, lake), plan, lambda _: None).run()
    open_lake(lake.paths, TOPIC, broker)
    lake.writer = Writer(lake.paths, plan.identity)
    for name in (TICKS, QUARANTINE):
        table = DeltaTable(str(lake.paths.table(name)))
        metadata, rows = newest_metadata(table, lake.paths.table(name)), table.to_pyarrow_table()
        assert metadata is not None
        assert (metadata.total.rows, metadata.total.digest) == (rows.num_rows, digest.to_text(digest.digest_of(rows)))
    return plan


def stored(lake: BuiltLake) -> Counter[tuple[int, int]]:
    coordinates: Counter[tuple[int, int]] = Counter()
    for name in (TICKS, QUARANTINE):
        rows = DeltaTable(str(lake.paths.table(name))).to_pyarrow_table()
        columns = (rows.column(column).to_pylist() for column in ("kafka_partition", "kafka_offset"))
        coordinates.update(zip(*columns, strict=True))
    return coordinates


def below(position: dict[int, int]) -> Counter[tuple[int, int]]:
    """Return the coordinates before a position, which the tables must hold; the stream reads the rest."""
    return Counter({(partition, offset): 1 for partition, offset in ALL if offset < position[partition]})


ALL = Counter((partition, offset) for partition, values in VALUES.items() for offset in range(len(values)))


def restore_table(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).restore(1)


def delete_rows(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.quarantine)).delete("kafka_partition = 1")
    DeltaTable(str(lake.paths.ticks)).delete("kafka_offset IN (3, 4, 9)")


def append_rows_again(lake: BuiltLake) -> None:
    for name in (TICKS, QUARANTINE):
        lake.append(name, [file for file in lake.write(VALUES[0][8:12], 0, 8) if file.table == name])


def append_rows(lake: BuiltLake) -> None:
    lake.append(TICKS, [file for file in lake.write([GOOD], 0, 3) if file.table == TICKS])


def empty_newest_entry(lake: BuiltLake) -> None:
    max((lake.paths.ticks / "_delta_log").glob("*.json")).write_bytes(b"")


def tear_newest_entries(lake: BuiltLake) -> None:
    for name in (TICKS, QUARANTINE):
        entry = max((lake.paths.table(name) / "_delta_log").glob("*.json"))
        entry.write_bytes(entry.read_bytes()[:-20])


def lose_table(lake: BuiltLake) -> None:
    shutil.rmtree(lake.paths.ticks)


def delete_data_file(lake: BuiltLake) -> None:
    lake.files(TICKS)[0].unlink()


def flip_byte(lake: BuiltLake) -> None:
    path = lake.files(TICKS)[0]
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def lose_identities(lake: BuiltLake) -> None:
    lake.lose_identity()


def damage_identity(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.set_table_properties({PROPERTY: "{"}, raise_if_not_exists=False)


def die_between_the_tables(lake: BuiltLake) -> None:
    """Commit a batch to the quarantine only."""
    values = [GOOD, BAD, GOOD]
    VALUES[1] = VALUES[1][:3] + values
    lake.commit(QUARANTINE, lake.write(values, 1, lake.plan(3, partition=1)))


def alter_rows(lake: BuiltLake) -> None:
    rewrite(lake, TICKS, lambda rows: set_column(rows, "symbol", ["WRONG"] * len(rows)))


DAMAGES = [
    restore_table,
    delete_rows,
    append_rows_again,
    append_rows,
    empty_newest_entry,
    tear_newest_entries,
    lose_table,
    delete_data_file,
    flip_byte,
    lose_identities,
    damage_identity,
    alter_rows,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_record_that_kafka_has_is_stored_once_afterwards(lake: BuiltLake, damage: Callable[[BuiltLake], None]) -> None:
    damage(lake)
    plan = recovered(lake)
    assert stored(lake) == below(plan.position)
    assert lake.writer.position == plan.position
    identity = read_identity(lake.paths)
    assert identity is not None
    assert identity.losses == ()


def test_a_batch_that_only_the_quarantine_had_is_completed(lake: BuiltLake) -> None:
    die_between_the_tables(lake)
    try:
        plan = recovered(lake)
        assert stored(lake) - ALL == Counter({(1, 3): 1, (1, 4): 1})
        assert plan.position == {0: 16, 1: 5}
    finally:
        VALUES[1] = VALUES[1][:3]


@pytest.mark.parametrize("damage", [restore_table, delete_rows])
def test_records_that_kafka_no_longer_has_are_noted_as_lost(lake: BuiltLake, damage: Callable[[BuiltLake], None]) -> None:
    damage(lake)
    missing = ALL - stored(lake)
    late = replace(lake.broker, first={0: 8, 1: 1})
    plan = recovered(lake, late)
    identity = read_identity(lake.paths)
    assert identity is not None
    lost = {(loss.partition, offset) for loss in identity.losses for offset in range(loss.start, loss.end)}
    assert lost == {(partition, offset) for partition, offset in missing if offset < late.first[partition]}
    assert stored(lake) + Counter(lost) == below(plan.position)


def test_records_that_kafka_removed_before_the_lake_had_them_are_noted_as_lost(lake: BuiltLake) -> None:
    plan = recovered(lake, replace(lake.broker, first={0: 20, 1: 3}, end={0: 25, 1: 3}))
    assert plan.position == {0: 20, 1: 3}
    assert [(loss.partition, loss.start, loss.end) for loss in plan.losses] == [(0, 16, 20)]


def test_a_record_that_is_skipped_by_name_is_noted_as_lost(lake: BuiltLake) -> None:
    VALUES[0] += [GOOD, GOOD, b"poison"]
    try:
        ahead = replace(lake.broker, end={0: 20, 1: 3})
        plan = recovered(lake, ahead, {0: [OffsetRange(18, 19)]})
        assert plan.position == {0: 19, 1: 3}
        assert [(loss.start, loss.end, loss.reason) for loss in plan.losses] == [(18, 19, "skipped by name")]
        assert stored(lake) - ALL == Counter({(0, 16): 1, (0, 17): 1})
    finally:
        del VALUES[0][16:]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_does_not_stop_the_check_for_an_interrupted_redrive(
    lake: BuiltLake, damage: Callable[[BuiltLake], None]
) -> None:
    damage(lake)
    recover._complete_move(lake.paths)  # noqa: SLF001
    recovered(lake)


def test_an_offset_that_the_topic_does_not_have_cannot_be_skipped(lake: BuiltLake) -> None:
    with pytest.raises(RecoverError, match=r"no such offsets to skip yet: partition 0: 16-17; partition 2: 0"):
        make_plan(lake.paths, TOPIC, lake.broker, {0: [OffsetRange(15, 18)], 2: [OffsetRange(0, 1)]}, {})


def test_duplicates_that_kafka_no_longer_has_are_left_to_the_user(lake: BuiltLake) -> None:
    append_rows_again(lake)
    with pytest.raises(RecoverError, match=r"Kafka no longer has them: partition 0: 8-11"):
        make_plan(lake.paths, TOPIC, replace(lake.broker, first={0: 12, 1: 0}), {}, {})


def test_another_topic_is_refused(lake: BuiltLake) -> None:
    with pytest.raises(RecoverError, match="deleted and created again"):
        make_plan(lake.paths, TOPIC, replace(lake.broker, topic_id="other"), {}, {})


def test_a_topic_that_is_shorter_than_the_tables_is_refused(lake: BuiltLake) -> None:
    with pytest.raises(RecoverError, match="the topic ends at 12"):
        make_plan(lake.paths, TOPIC, replace(lake.broker, end={0: 12, 1: 3}), {}, {})


def test_damage_before_the_newest_log_entry_is_refused(lake: BuiltLake) -> None:
    (lake.paths.ticks / "_delta_log" / f"{2:020d}.json").write_bytes(b"")
    with pytest.raises(RecoverError, match="damaged before its newest entry"):
        make_plan(lake.paths, TOPIC, lake.broker, {}, {})


def test_altered_rows_are_read_again(lake: BuiltLake) -> None:
    before = (
        DeltaTable(str(lake.paths.ticks))
        .to_pyarrow_table()
        .sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])
    )
    DeltaTable(str(lake.paths.ticks)).update({"price": "price + 1"}, predicate="kafka_offset IN (2, 3)")
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, spans_in("0:2-3"))
    Recovery(lake.paths, partial(replay, lake), plan, lambda _: None).run()
    open_lake(lake.paths, TOPIC, lake.broker)
    after = DeltaTable(str(lake.paths.ticks)).to_pyarrow_table()
    assert digest.digest_of(after) == digest.digest_of(before)


def test_offsets_are_parsed_singly_and_as_ranges() -> None:
    assert spans_in("0:5,1:7-9,0:6") == {0: [OffsetRange(5, 7)], 1: [OffsetRange(7, 10)]}
    assert spans_in("") == {}


class KilledError(BaseException):
    """Stands in for kill -9."""


@pytest.mark.parametrize("damage", [restore_table, delete_rows, lose_table, append_rows_again, empty_newest_entry])
def test_a_recovery_killed_at_any_step_is_completed_by_the_next(
    lake: BuiltLake, damage: Callable[[BuiltLake], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(lake)
    step, died = 0, True
    while died:
        died = kill_recovery(lake, step, monkeypatch)
        step += 1
    assert step > 3
    open_lake(lake.paths, TOPIC, lake.broker)
    assert stored(lake) == below(Writer(lake.paths, lake.identity).position)


def kill_recovery(lake: BuiltLake, step: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Recover and die at the given step; return whether there was such a step."""
    steps = 0
    with monkeypatch.context() as context:
        for place, name in ((Writer, "commit"), (Writer, "_write"), (Writer, "restate"), (beneath, "move")):
            original = getattr(place, name)

            def dying(*arguments: object, original: Callable[..., object] = original, **named: object) -> object:
                nonlocal steps
                if steps == step:
                    raise KilledError
                steps += 1
                return original(*arguments, **named)

            context.setattr(place, name, dying)
        try:
            plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
            Recovery(lake.paths, partial(replay, lake), plan, lambda _: None).run()
        except KilledError:
            return True
    return False
