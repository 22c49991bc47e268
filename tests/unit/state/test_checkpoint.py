"""The checkpoint's files, as Spark 4.2 writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from finance_lake.state.checkpoint import Checkpoint, PlannedBatch
from finance_lake.state.record import OffsetRange

if TYPE_CHECKING:
    from pathlib import Path

QUERY = "ef26f982-2f7f-4d6c-af12-36854e11262a"
CONF = {"spark.sql.shuffle.partitions": "1", "spark.sql.streaming.multipleWatermarkPolicy": "min"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    for folder in ("offsets", "commits", "sources/0"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "metadata").write_text(json.dumps({"id": QUERY}))
    # Spark puts a zero byte before the version here, and here alone.
    (tmp_path / "sources" / "0" / "0").write_bytes(b'\0v1\n{"finance":{"0":100,"1":0}}')
    return Checkpoint(tmp_path)


def plan(checkpoint: Checkpoint, batch: int, planned_ms: int, ends: dict[str, int]) -> None:
    lines = [
        "v1",
        json.dumps({"batchWatermarkMs": 0, "batchTimestampMs": planned_ms, "conf": CONF}),
        json.dumps({"finance": ends}),
    ]
    (checkpoint.folder / "offsets" / str(batch)).write_text("\n".join(lines))


def test_the_query_id_is_read_from_the_metadata(checkpoint: Checkpoint) -> None:
    assert checkpoint.query_id() == QUERY


def test_the_first_batch_begins_where_the_source_began(checkpoint: Checkpoint) -> None:
    plan(checkpoint, 0, 1795499472267, {"0": 150, "1": 7})
    assert checkpoint.planned(0) == PlannedBatch(0, 1795499472267, {0: OffsetRange(100, 150), 1: OffsetRange(0, 7)})


def test_a_later_batch_begins_where_the_one_before_it_ended(checkpoint: Checkpoint) -> None:
    plan(checkpoint, 9, 1000, {"0": 150, "1": 7})
    plan(checkpoint, 10, 2000, {"0": 150, "1": 9})
    assert checkpoint.planned(10) == PlannedBatch(10, 2000, {0: OffsetRange(150, 150), 1: OffsetRange(7, 9)})


def test_a_partition_that_was_added_begins_at_its_first_offset(checkpoint: Checkpoint) -> None:
    plan(checkpoint, 0, 1000, {"0": 150, "1": 7})
    plan(checkpoint, 1, 2000, {"0": 150, "1": 7, "2": 40})
    assert checkpoint.planned(1).offsets[2] == OffsetRange(0, 40)


def test_a_batch_that_was_not_planned_has_no_plan(checkpoint: Checkpoint) -> None:
    with pytest.raises(FileNotFoundError):
        checkpoint.planned(0)


@pytest.mark.parametrize("last", ['{"finance":{"0":9},"other":{"0":9}}', '{"finance":{"0":9}}\n{"finance":{"0":9}}', "-", "{}"])
def test_a_plan_of_other_than_one_source_and_one_topic_is_refused(checkpoint: Checkpoint, last: str) -> None:
    (checkpoint.folder / "offsets" / "0").write_text(f'v1\n{{"batchTimestampMs":1}}\n{last}')
    with pytest.raises(ValueError, match=r".+"):
        checkpoint.planned(0)


def test_a_torn_plan_is_not_taken_for_one(checkpoint: Checkpoint) -> None:
    plan(checkpoint, 0, 1000, {"0": 150, "1": 7})
    whole = (checkpoint.folder / "offsets" / "0").read_text()
    for length in range(len(whole)):
        (checkpoint.folder / "offsets" / "0").write_text(whole[:length])
        with pytest.raises(ValueError, match=r".+"):
            checkpoint.planned(0)
