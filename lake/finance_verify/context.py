"""What verify needs from outside the lake's folder, passed in so that tests can replace it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import OffsetRange
    from finance_kafka.range_reader import Record

CATCH_UP_SECONDS = 10.0


def _ignore(_rows: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class VerifyContext:
    """Access to the topic, and a progress callback.

    Attributes:
        topic: name of the topic
        ask: queries the broker for the topic's description; None to check only the files
        read_topic: reads ranges of the topic, for `--values`; None to rely on the digests for values. It gets the ranges by the
            lake's partitions, which the records have too, and the lake's number of the topic's partition 0
        patience_seconds: how long to wait for the tables to reach the topic's end offsets
        advance: called with the number of rows read so far and their total number

    """

    topic: str
    ask: Callable[[], TopicDescription] | None
    read_topic: Callable[[Mapping[int, OffsetRange], int], Iterable[list[Record]]] | None = None
    patience_seconds: float = CATCH_UP_SECONDS
    advance: Callable[[int, int], None] = _ignore
