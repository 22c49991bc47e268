"""The files of a Spark Structured Streaming checkpoint, read without Spark.

`metadata` holds the query's id; `offsets/N` (the write-ahead log) where batch N ends and when it was planned, written before
the batch runs; `commits/N` that it is done; `sources/0/0` where the first batch began. The format is Spark's version 1:
a line `v1`, then JSON a line (org.apache.spark.sql.execution.streaming.checkpointing.OffsetSeqLog). The first line of
`sources/0/0` has a zero byte before it (KafkaSourceInitialOffsetWriter).

A query takes its id and its first offsets from these files if they are there when it starts for the first time. So `begin`
decides both, and they can be on record in lake.json before Spark is asked to do anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from finance_lake.state.files import write_whole
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

    @property
    def end(self) -> Offsets:
        """Where the batch after it begins."""
        return {partition: offsets.end for partition, offsets in self.offsets.items()}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint folder of a query with one Kafka source and one topic."""

    folder: Path

    def begin(self, query: str, topic: str, first: Offsets) -> None:
        """Make a new checkpoint; a query that starts on it has this id and reads the topic from these offsets on.

        The metadata comes last: a checkpoint without it has not begun.
        """
        offsets = json.dumps({topic: {str(partition): offset for partition, offset in first.items()}})
        write_whole(self.folder / "sources" / "0" / "0", b"\0v1\n" + offsets.encode())
        write_whole(self.folder / "metadata", json.dumps({"id": query}).encode())

    def has_begun(self) -> bool:
        """Whether there is anything of a query that has run."""
        return any((self.folder / name).exists() for name in ("metadata", "offsets", "commits"))

    def query_id(self) -> str:
        """The id that the query keeps for the life of its checkpoint."""
        return str(json.loads((self.folder / "metadata").read_text())["id"])

    def newest_planned(self) -> int | None:
        """Id of the newest batch in the write-ahead log; None before the first."""
        return self._newest("offsets")

    def newest_done(self) -> int | None:
        """Id of the newest batch that Spark has closed; None before the first."""
        return self._newest("commits")

    def files(self) -> list[Path]:
        """All that the next start depends on."""
        below = (path for name in ("offsets", "commits") for path in (self.folder / name).glob("[0-9]*"))
        return [path for path in (self.folder / "metadata", self.folder / "sources" / "0" / "0", *below) if path.exists()]

    def initial_offsets(self) -> Offsets:
        """Where the first batch begins."""
        return _of_the_one_topic((self.folder / "sources" / "0" / "0").read_text().split("\n", 1)[1])

    def planned(self, batch: int) -> PlannedBatch:
        """Read the plan of a batch."""
        plan, end = self._offsets(batch)
        start = self._offsets(batch - 1)[1] if batch else self.initial_offsets()
        # A partition that was added to the topic later begins at 0; Spark reads it from there.
        ranges = {partition: OffsetRange(start.get(partition, 0), last) for partition, last in end.items()}
        return PlannedBatch(batch, int(plan["batchTimestampMs"]), ranges)

    def _offsets(self, batch: int) -> tuple[dict[str, int], Offsets]:
        _, plan, source = (self.folder / "offsets" / str(batch)).read_text().splitlines()
        return json.loads(plan), _of_the_one_topic(source)

    def _newest(self, name: str) -> int | None:
        numbers = (int(path.name) for path in (self.folder / name).glob("[0-9]*") if path.name.isdecimal())
        return max(numbers, default=None)


def _of_the_one_topic(text: str) -> Offsets:
    (partitions,) = json.loads(text).values()
    return {int(partition): offset for partition, offset in partitions.items()}
