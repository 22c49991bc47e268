"""A lake that version 0.1 wrote, without a broker: read, judged, opened and taken over."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_job.guard import open_lake, put_old_state_aside
from finance_job.writer import Writer
from finance_lake.proof.verify import verify
from finance_lake.proof.world import World
from finance_lake.state.accounting import Broker
from finance_lake.state.ahead import offsets_within
from finance_lake.state.identity import identity_of, read_identity
from finance_lake.state.layout import QUARANTINE, TICKS, Layout
from tests.stack.pipeline import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "finance"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    with tarfile.open(ROOT / "tests/fixtures/lake-0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return Layout(tmp_path)


@pytest.fixture
def broker(layout: Layout) -> Broker:
    identity = read_identity(layout)
    assert identity is not None
    return Broker(identity.cluster, identity.topic_id, identity.first, dict.fromkeys(identity.first, 1000))


def test_it_is_judged_as_it_is(layout: Layout) -> None:
    assert verify(layout, World(TOPIC, None)).findings == ()


def test_both_tables_get_its_identity_and_the_half_batch_is_known(layout: Layout, broker: Broker) -> None:
    identity = open_lake(layout, TOPIC, broker)
    assert identity_of(DeltaTable(str(layout.ticks))) is None

    writer = Writer(layout, identity)

    for name in (TICKS, QUARANTINE):
        assert identity_of(DeltaTable(str(layout.table(name)))) == identity
        assert (writer.record(name).epoch, writer.record(name).lake) == (1, identity.lake)
    half = writer.half_committed()
    assert sum(span.count for span in half.values()) == 100
    known = offsets_within(writer.table(QUARANTINE), layout.quarantine, half)
    assert sum(map(len, known.values())) == 60  # two of five were malformed, and one had no value
    assert verify(layout, World(TOPIC, None)).findings == ()


def test_what_it_had_beside_its_tables_is_put_aside_and_not_asked_again(layout: Layout, broker: Broker) -> None:
    identity = open_lake(layout, TOPIC, broker)
    Writer(layout, identity)
    moved = put_old_state_aside(layout)
    assert sorted(path.name for path in moved) == ["checkpoints", "lake.json"]
    assert all(path.exists() for path in moved)
    assert open_lake(layout, TOPIC, broker) == identity
    assert put_old_state_aside(layout) == []
