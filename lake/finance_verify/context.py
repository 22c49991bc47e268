"""The world outside of the lake's folder, as far as verify needs it: handed in, so that tests can make one up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from finance_kafka.describe import TopicDescription
    from finance_kafka.offsets import OffsetRange
    from finance_kafka.range_reader import Record

PATIENCE_SECONDS = 10.0


def _unheard(_rows: int, _of: int) -> None:
    pass


@dataclass(frozen=True)
class VerifyContext:
    """The topic, and somebody who waits.

    Attributes:
        topic: its name
        ask: asks the broker about it; None to judge the files alone
        read_topic: reads ranges of it, for `--values`; None to leave values to the digests
        patience_seconds: how long the tables may take to pass the topic's ends
        advance: hears how many rows have been read, out of how many

    """

    topic: str
    ask: Callable[[], TopicDescription] | None
    read_topic: Callable[[Mapping[int, OffsetRange]], Iterable[list[Record]]] | None = None
    patience_seconds: float = PATIENCE_SECONDS
    advance: Callable[[int, int], None] = _unheard
