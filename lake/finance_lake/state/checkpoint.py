"""The files of a Spark Structured Streaming checkpoint, read without Spark.

`metadata` holds the query's id; `offsets/N` (the write-ahead log) where batch N ends and when it was planned, written before
the batch runs; `commits/N` that it is done; `sources/0/0` where the first batch began. The format is Spark's version 1:
a line `v1`, then JSON a line (org.apache.spark.sql.execution.streaming.checkpointing.OffsetSeqLog).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_lake.state.record import OffsetRange

if TYPE_CHECKING:
    from pathlib import Path

    from finance_lake.state.record import Offsets


@dataclass(frozen=True)
class PlannedBatch:
    """A batch as Spark planned it; a replay after a crash finds the same plan."""

    batch: int
    planned_ms: int
    offsets: dict[int, OffsetRange]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder of a query with one Kafka source and one topic."""

    folder: Path

    def query_id(self) -> str:
        """The id that the query keeps for the life of its checkpoint."""
        return str(json.loads((self.folder / "metadata").read_text())["id"])

    def planned(self, batch: int) -> PlannedBatch:
        """Read the plan of a batch."""
        plan, end = self._offsets(batch)
        start = self._offsets(batch - 1)[1] if batch else self._initial_offsets()
        # A partition that was added to the topic later begins at 0; Spark reads it from there.
        ranges = {partition: OffsetRange(start.get(partition, 0), last) for partition, last in end.items()}
        return PlannedBatch(batch, int(plan["batchTimestampMs"]), ranges)

    def _offsets(self, batch: int) -> tuple[dict[str, int], Offsets]:
        _, plan, source = (self.folder / "offsets" / str(batch)).read_text().splitlines()
        return json.loads(plan), _of_the_one_topic(source)

    def _initial_offsets(self) -> Offsets:
        return _of_the_one_topic((self.folder / "sources" / "0" / "0").read_text().split("\n", 1)[1])


def _of_the_one_topic(text: str) -> Offsets:
    (partitions,) = json.loads(text).values()
    return {int(partition): offset for partition, offset in partitions.items()}
