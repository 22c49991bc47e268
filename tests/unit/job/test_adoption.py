"""Recover with ADOPT=1: a lake whose topic is gone goes on with another one, as one lake, with the proof intact.

tests/stack/test_adoption.py does it with real brokers and both readers.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from finance_job.guard import StartupRefusedError, open_lake
from finance_job.repair.adoption import AdoptionError, adopting
from finance_job.repair.altered_rows import lost_with_the_topic, report_of
from finance_job.repair.recover import Recovery
from finance_job.repair.recovery_plan import GONE, RecoverError, RecoveryPlan, make_plan
from finance_job.writer import Writer
from finance_kafka.describe import TopicDescription
from finance_kafka.offsets import OffsetRange
from finance_kafka.range_reader import Record
from finance_lake.status import lake_status
from finance_local import drain
from finance_local.importing import target
from finance_storage.accounting import still_to_come
from finance_storage.delta_table import committed_offsets
from finance_storage.lake_identity import MAX_PARTITIONS, PROPERTY, Identity, numbered_in, read_identity
from finance_storage.paths import QUARANTINE, TICKS
from finance_topic.config import Settings as TopicSettings
from finance_verify.context import VerifyContext
from finance_verify.verdict import Code
from finance_verify.verify import verify
from tests.support.days import Days, after_midnight, date_of
from tests.support.lakes import ARRIVED, BAD, GOOD, TOPIC, BuiltLake, numbered, three_batches
from tests.support.tampering import drop, found, judge, write_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from finance_storage.offset_set import OffsetSet

NOTED = "2026-11-28T12:00:00+00:00"
# The lake of `three_batches` holds partition 0 up to offset 16, and partition 1 up to 3.
ENDS = {0: 16, 1: 3}
# The topic was created again with three partitions, and its retention has removed the first records of the last one.
AGAIN = TopicDescription("the-cluster", "again", {0: 0, 1: 0, 2: 7}, {0: 40, 1: 0, 2: 9})
REPLACED = TopicDescription("a-new-cluster", "the-topic-there", {0: 0, 1: 0}, {0: 0, 1: 0})


@pytest.fixture
def lake(tmp_path: Path) -> BuiltLake:
    return three_batches(tmp_path)


def nothing(ranges: Mapping[int, OffsetRange]) -> Iterator[pa.RecordBatch]:
    """Stand for a topic that is asked for nothing."""
    raise AssertionError(f"an adoption reads no records: {ranges}")


def plan_of(lake: BuiltLake, broker: TopicDescription) -> RecoveryPlan:
    return make_plan(lake.paths, TOPIC, broker, {}, {}, adopt=True)


def adopt(lake: BuiltLake, broker: TopicDescription) -> RecoveryPlan:
    """Let the lake take over a topic, and start the job again."""
    plan = plan_of(lake, broker)
    lake.identity = Recovery(lake.paths, nothing, plan, lambda _: None).run()
    assert open_lake(lake.paths, TOPIC, broker) == lake.identity
    lake.writer = Writer(lake.paths, lake.identity)
    lake.ends = {partition: lake.writer.start(partition) for partition in lake.identity.numbered(broker).end}
    return plan


def rows(lake: BuiltLake) -> list[tuple[int, int]]:
    stored = DeltaTable(str(lake.paths.ticks)).to_pyarrow_table(columns=["kafka_partition", "kafka_offset"])
    return sorted(zip(*(stored.column(name).to_pylist() for name in stored.column_names), strict=True))


# ---- numbers of partitions ----------------------------------------------------------------------------------------------


def test_a_lake_that_never_adopts_stores_the_same_identity_as_before() -> None:
    identity = Identity("a-lake", "a-cluster", "finance", "an-id", {0: 7, 1: 0}, NOTED)
    assert identity.properties()[PROPERTY] == (
        '{"lake":"a-lake","cluster":"a-cluster","topic":"finance","topic_id":"an-id","first":{"0":7,"1":0},'
        f'"created":"{NOTED}","losses":[],"excused":[]}}'
    )


def test_a_version_that_does_not_know_adoption_takes_the_topic_for_another_one(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    stored = json.loads(DeltaTable(str(lake.paths.ticks)).metadata().configuration[PROPERTY])
    assert (stored["cluster"], stored["topic_id"]) == ("the-cluster", "the-topic") != (AGAIN.cluster, AGAIN.topic_id)


def test_a_topic_cannot_have_more_partitions_than_a_lake_keeps_apart() -> None:
    TopicSettings(kafka_partitions=MAX_PARTITIONS)
    with pytest.raises(ValueError, match="less than or equal to 1000"):
        TopicSettings(kafka_partitions=MAX_PARTITIONS + 1)


OFFSETS = st.integers(0, 10**12)
TOPICS = st.lists(
    st.dictionaries(st.integers(0, MAX_PARTITIONS - 1), st.tuples(OFFSETS, OFFSETS), min_size=1, max_size=5),
    min_size=1,
    max_size=5,
)


@given(TOPICS)
def test_the_partitions_of_topics_never_meet_and_the_way_back_is_exact(topics: list[dict[int, tuple[int, int]]]) -> None:
    brokers = [
        TopicDescription("c", f"topic-{n}", {p: first for p, (first, _) in t.items()}, {p: sum(o) for p, o in t.items()})
        for n, t in enumerate(topics)
    ]
    identity = Identity("lake", "c", "finance", "topic-0", brokers[0].first, NOTED)
    seen: dict[int, OffsetRange] = {}
    for number, broker in enumerate(brokers):
        if number:
            identity = adopting(identity, broker, {partition: span.end for partition, span in seen.items()}, NOTED)
        described = identity.numbered(broker)
        own = {p - identity.base: end for p, end in described.end.items() if p >= identity.base}
        assert own == broker.end
        assert {p: described.first[identity.base + p] for p in own} == broker.first
        assert {p: identity.start(identity.base + p) for p in own} == broker.first
        assert {p: span.end for p, span in seen.items()} == identity.retired
        assert all(described.first[p] == described.end[p] == end for p, end in identity.retired.items())
        assert not seen.keys() & {identity.base + p for p in own}
        assert still_to_come(identity.retired, described).keys() <= {identity.base + p for p in own}
        seen |= {identity.base + p: OffsetRange(identity.start(identity.base + p), end) for p, end in own.items()}


@pytest.mark.parametrize("other", [replace(AGAIN, topic_id="yet another"), replace(AGAIN, cluster="another")])
def test_the_description_of_another_topic_stays_as_it_is(lake: BuiltLake, other: TopicDescription) -> None:
    adopt(lake, AGAIN)
    assert lake.identity.numbered(other) == other
    assert numbered_in(lake.paths, other) == other


# ---- adoption -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("broker", [AGAIN, REPLACED], ids=["created again", "another cluster"])
def test_another_topic_is_refused_until_the_lake_adopts_it(lake: BuiltLake, broker: TopicDescription) -> None:
    before = rows(lake)
    with pytest.raises(StartupRefusedError, match="`make recover ADOPT=1` takes the lake over to the new topic"):
        open_lake(lake.paths, TOPIC, broker)
    with pytest.raises(RecoverError, match="ADOPT=1"):
        make_plan(lake.paths, TOPIC, broker, {}, {})

    plan = adopt(lake, broker)

    steps = list(plan.steps())
    assert "the lake holds up to 0:16, 1:3: no record of it can be read again" in steps[0]
    assert f"with id {broker.topic_id}: its partition 0 is partition 1000 of the lake" in steps[1]
    assert (plan.losses, plan.leaving, plan.backfill, plan.is_idle) == ((), {}, {}, False)
    begins = {1000 + own: first for own, first in broker.first.items()}
    assert committed_offsets(lake.paths.ticks) == ENDS | begins
    assert rows(lake) == before
    with pytest.raises(StartupRefusedError, match=r"deleted and created again|belongs to Kafka cluster"):
        open_lake(lake.paths, TOPIC, TopicDescription("the-cluster", "the-topic", {0: 0, 1: 0}, ENDS))


def test_an_adopted_topic_is_stored_and_proven_beside_the_rows_of_the_one_before(lake: BuiltLake) -> None:
    before = rows(lake)
    adopt(lake, AGAIN)
    lake.store([*numbered(3, source="sim-2"), BAD], partition=1000)
    lake.store([GOOD], partition=1002)
    assert set(rows(lake)) == {*before, (1000, 0), (1000, 1), (1000, 2), (1002, 7)}
    assert judge(lake).findings == ()
    assert found(judge(lake, replace(AGAIN, end={0: 6, 1: 0, 2: 8}))) == {Code.BEHIND: {1000: [(4, 5)]}}
    assert judge(lake, REPLACED).code is Code.IDENTITY
    drop(lake, TICKS, 0, 3)
    drop(lake, TICKS, 1000, 1)
    assert found(judge(lake))[Code.GAP] == {0: [(3, 3)], 1000: [(1, 1)]}


def test_an_adopted_topic_that_grows_meanwhile_is_proven_with_its_values(lake: BuiltLake) -> None:
    adopt(lake, REPLACED)
    lake.store([GOOD] * 2, partition=1000)
    records = [Record(1000, offset, round(1000 * ARRIVED.timestamp()), b"AAPL", GOOD) for offset in range(2)]
    answers = [
        replace(REPLACED, end={0: 1, 1: 0}),
        *[lake.broker] * 2,
    ]  # the tables are beyond the end that the broker names first
    context = VerifyContext(TOPIC, lambda: answers.pop(0), lambda _, base: [records[: base // 1000 * 2]], patience_seconds=0)
    assert verify(lake.paths, context).findings == ()
    assert answers == []


def test_a_row_of_the_topic_that_is_gone_is_lost_if_it_is_damaged(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    DeltaTable(str(lake.paths.ticks)).delete("kafka_partition = 0 AND kafka_offset = 3")
    plan = make_plan(lake.paths, TOPIC, AGAIN, {}, {})
    assert [(loss.partition, loss.start, loss.end, loss.reason) for loss in plan.losses] == [(0, 3, 4, GONE)]
    assert plan.backfill == {}


def test_foreign_rows_of_the_topic_that_is_gone_are_removed(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    lake.append(TICKS, [file for file in lake.write([GOOD], 0, 99) if file.table == TICKS])
    assert make_plan(lake.paths, TOPIC, AGAIN, {}, {}).leaving == {0: [OffsetRange(99, 100)]}


def test_a_batch_that_only_the_quarantine_has_ends_with_its_topic(lake: BuiltLake) -> None:
    lake.commit(QUARANTINE, lake.write([GOOD, BAD, GOOD], 1, lake.plan(3, partition=1)))
    plan = adopt(lake, AGAIN)
    assert [(loss.partition, loss.start, loss.end) for loss in plan.losses] == [(1, 3, 4), (1, 5, 6)]
    assert lake.identity.retired == {0: 16, 1: 6}
    assert judge(lake).findings == ()


def test_a_lake_adopts_one_topic_after_another(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    lake.store([GOOD], partition=1000)
    adopt(lake, REPLACED)
    lake.store([GOOD], partition=2000)
    assert lake.identity.retired == {**ENDS, 1000: 1, 1001: 0, 1002: 7}
    assert rows(lake)[-2:] == [(1000, 0), (2000, 0)]
    assert judge(lake).findings == ()
    assert make_plan(lake.paths, TOPIC, lake.broker, {}, {}).is_idle


def test_a_topic_that_the_lake_has_left_is_not_adopted_again(lake: BuiltLake) -> None:
    first = lake.broker
    adopt(lake, AGAIN)
    adopt(lake, REPLACED)
    for broker in (first, AGAIN):
        with pytest.raises(AdoptionError, match="has held this topic before, and would store its records twice"):
            plan_of(lake, broker)


def test_a_lake_that_holds_the_topic_has_nothing_to_adopt(lake: BuiltLake) -> None:
    plan = plan_of(lake, lake.broker)
    assert plan.left is None
    assert plan.is_idle


def test_another_name_is_refused(lake: BuiltLake) -> None:
    with pytest.raises(RecoverError, match="KAFKA_TOPIC is other"):
        make_plan(lake.paths, "other", AGAIN, {}, {}, adopt=True)


def test_a_topic_with_too_many_partitions_is_refused(lake: BuiltLake) -> None:
    wide = dict.fromkeys(range(MAX_PARTITIONS + 1), 0)
    with pytest.raises(AdoptionError, match="the topic has 1001 partitions, and a lake can take over at most 1000"):
        plan_of(lake, TopicDescription("c", "wide", wide, wide))
    lake.ends[MAX_PARTITIONS] = 0
    lake.store([GOOD], partition=MAX_PARTITIONS)
    with pytest.raises(AdoptionError, match="the lake holds partition 1000 of its topic"):
        plan_of(lake, AGAIN)


def test_acknowledged_ticks_that_are_lost_with_the_topic_stay_findings(lake: BuiltLake) -> None:
    write_ledger(lake, {"acknowledged": [[0, 19]]})
    assert "list 5 acknowledged ticks that the table lacks" in lost_with_the_topic(report_of(lake.paths, TOPIC, AGAIN))
    adopt(lake, replace(AGAIN, first={0: 0, 1: 0}, end={0: 0, 1: 0}))
    report = judge(lake)
    assert report.code is Code.PRODUCER
    assert "seq 15-19" in str(report.findings[0])


@pytest.mark.parametrize(("acknowledged", "sentence"), [([[0, 9]], "All 10 ticks"), ([], "it is unknown how many")])
def test_the_plan_says_what_is_lost_with_the_topic(lake: BuiltLake, acknowledged: list[list[int]], sentence: str) -> None:
    write_ledger(lake, {"acknowledged": acknowledged})
    assert sentence in lost_with_the_topic(report_of(lake.paths, TOPIC, AGAIN))


# ---- an adoption that is killed -----------------------------------------------------------------------------------------


class KilledError(BaseException):
    """Stands in for kill -9."""


def killed_between_the_tables(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    restate = Writer.restate

    def dying(self: Writer, name: str, identity: Identity, position: dict[int, int], total: object) -> None:
        if name == TICKS:
            raise KilledError
        restate(self, name, identity, position, total)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(Writer, "restate", dying)
        with pytest.raises(KilledError):
            adopt(lake, AGAIN)


def test_an_adoption_killed_between_the_tables_is_completed_by_the_same_command(
    lake: BuiltLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_between_the_tables(lake, monkeypatch)
    assert read_identity(lake.paths) == lake.identity
    with pytest.raises(StartupRefusedError, match="ADOPT=1"):
        open_lake(lake.paths, TOPIC, AGAIN)
    later = replace(AGAIN, first={0: 5, 1: 0, 2: 9}, end={0: 40, 1: 0, 2: 9})  # retention goes on
    plan = plan_of(lake, later)
    assert plan.identity.first == {0: 0, 1: 0, 1000: 0, 1001: 0, 1002: 7}
    adopt(lake, AGAIN)
    assert len(lake.identity.adopted) == 1
    lake.store([GOOD], partition=1000)
    assert judge(lake).findings == ()


def test_a_lake_whose_topic_comes_back_in_mid_adoption_keeps_it(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_between_the_tables(lake, monkeypatch)
    plan = make_plan(lake.paths, TOPIC, lake.broker, {}, {})
    Recovery(lake.paths, nothing, plan, lambda _: None).run()
    assert open_lake(lake.paths, TOPIC, lake.broker).adopted == ()
    assert committed_offsets(lake.paths.quarantine) == committed_offsets(lake.paths.ticks) == ENDS


def test_ticks_of_before_the_adoption_are_filled_up_as_losses(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    lake.store([GOOD, BAD], partition=1000)
    table = DeltaTable(str(lake.paths.ticks))
    table.restore(2)
    identity = read_identity(lake.paths)
    assert identity is not None
    plan = plan_of(lake, lake.broker)
    assert plan.identity.adopted == lake.identity.adopted
    assert plan.backfill == {1000: [OffsetRange(0, 1)]}


# ---- what follows the tables --------------------------------------------------------------------------------------------


def test_the_lag_of_an_adopted_topic_is_measured_at_its_own_partitions(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    asked: list[tuple[OffsetSet | object, int]] = []

    def oldest(ranges: Mapping[int, OffsetRange], base: int) -> float:
        asked.append((dict(ranges), base))
        return 0.0

    state = lake_status(lake.paths, lambda: AGAIN, oldest)
    assert state.lag == 42
    assert asked == [({1000: OffsetRange(0, 40), 1002: OffsetRange(7, 9)}, 1000)]
    assert state.ends == {**ENDS, 1000: 40, 1001: 0, 1002: 9}


def test_draining_and_importing_wait_for_the_adopted_topic_only(lake: BuiltLake, monkeypatch: pytest.MonkeyPatch) -> None:
    adopt(lake, REPLACED)
    lake.store([GOOD] * 5, partition=1000)
    behind, reached = replace(lake.broker, end={0: 7, 1: 0}), lake.broker
    monkeypatch.setattr(drain, "MAX_IDLE_SECONDS", 0.1)
    monkeypatch.setattr(target, "MAX_IDLE_SECONDS", 0.1)
    for broker, is_complete in ((behind, False), (reached, True)):
        for module in (drain, target):
            monkeypatch.setattr(module, "describe_topic", lambda *_, broker=broker: broker)
        drained = drain.drain("", TOPIC, lake.paths, lambda: False)
        assert drained.end == lake.identity.numbered(broker).end
        assert (not still_to_come(drained.committed, lake.identity.numbered(broker))) is is_complete
        assert target.Target(lake.paths, "", TOPIC).wait_until_stored(lambda: False, lambda _: None) is is_complete


def test_a_lake_with_a_damaged_identity_still_has_a_status(lake: BuiltLake) -> None:
    DeltaTable(str(lake.paths.ticks)).alter.set_table_properties({PROPERTY: "{"}, raise_if_not_exists=False)
    assert lake_status(lake.paths, lambda: AGAIN, lambda *_: None).rows == 16


def test_days_are_sealed_across_the_adoption(tmp_path: Path) -> None:
    lake = BuiltLake(tmp_path, partitions=2)
    days = Days(lake)
    days.arrive([GOOD] * 3, 0)
    days.seal(after_midnight(0))
    days.arrive([GOOD] * 3, 1)
    adopt(lake, REPLACED)
    days.start()
    assert days.until is None  # a recovery opens the days
    days.arrive([GOOD] * 2, 1, partition=1001)
    days.describe = lambda: replace(REPLACED, end={0: 0, 1: 3})
    days.seal_again(after_midnight(1))
    assert days.until is None, "the topic has a record that may be of the day"
    days.arrive([GOOD], 1, partition=1001)
    days.seal_again(after_midnight(1, 60))
    assert days.until == date_of(2)
    manifest = days.manifests()[-1]
    assert {number: (seal.first, seal.end) for number, seal in manifest.partitions.items()} == {0: (3, 6), 1001: (0, 3)}
    assert all(manifest.complete for manifest in days.manifests())


def test_an_identity_that_adopts_is_read_as_it_was_written(lake: BuiltLake) -> None:
    adopt(lake, AGAIN)
    assert read_identity(lake.paths) == lake.identity
    assert msgspec.json.decode(lake.identity.properties()[PROPERTY], type=Identity) == lake.identity
