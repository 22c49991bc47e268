"""A lake written by version 0.1, without a broker: read, verified, opened and taken over."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from finance_job.guard import open_lake, put_old_state_aside
from finance_job.writer import Writer
from finance_kafka.describe import TopicDescription
from finance_storage.lake_identity import identity_of, read_identity
from finance_storage.paths import QUARANTINE, TICKS, LakePaths
from finance_storage.quarantine_ahead import offsets_within
from finance_verify.context import VerifyContext
from finance_verify.verify import verify
from tests.support.stack import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "finance"


@pytest.fixture
def paths(tmp_path: Path) -> LakePaths:
    with tarfile.open(ROOT / "tests/fixtures/lake-0.1.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return LakePaths(tmp_path)


@pytest.fixture
def broker(paths: LakePaths) -> TopicDescription:
    identity = read_identity(paths)
    assert identity is not None
    return TopicDescription(identity.cluster, identity.topic_id, identity.first, dict.fromkeys(identity.first, 1000))


def test_verify_accepts_it(paths: LakePaths) -> None:
    assert verify(paths, VerifyContext(TOPIC, None)).findings == ()


def test_both_tables_get_its_identity_and_the_half_batch_is_found(paths: LakePaths, broker: TopicDescription) -> None:
    identity = open_lake(paths, TOPIC, broker)
    assert identity_of(DeltaTable(str(paths.ticks))) is None

    writer = Writer(paths, identity)

    for name in (TICKS, QUARANTINE):
        assert identity_of(DeltaTable(str(paths.table(name)))) == identity
        assert (writer.metadata(name).epoch, writer.metadata(name).lake) == (1, identity.lake)
    half = writer.half_committed()
    assert sum(span.count for span in half.values()) == 100
    known = offsets_within(writer.table(QUARANTINE), paths.quarantine, half)
    assert sum(map(len, known.values())) == 60  # of each five records two were malformed and one had no value
    assert verify(paths, VerifyContext(TOPIC, None)).findings == ()


def test_old_state_files_are_moved_aside_once(paths: LakePaths, broker: TopicDescription) -> None:
    identity = open_lake(paths, TOPIC, broker)
    Writer(paths, identity)
    moved = put_old_state_aside(paths)
    assert sorted(path.name for path in moved) == ["checkpoints", "lake.json"]
    assert all(path.exists() for path in moved)
    assert open_lake(paths, TOPIC, broker) == identity
    assert put_old_state_aside(paths) == []
