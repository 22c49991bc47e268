"""What became of the ticks that were handed to the client: only the broker's answer to each counts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError

from finance_contract import decode

if TYPE_CHECKING:
    from confluent_kafka import Message

    from finance_storage.ledger import Range

_TOPIC_AWAY = {
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 (its public constants look like this)
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
}
_GIVEN_BACK = _TOPIC_AWAY | {
    KafkaError._DESTROY,  # noqa: SLF001 (what was between two queues when its partition was taken down)
    KafkaError._PURGE_QUEUE,  # noqa: SLF001 (a client is purged when it is left for another, or at the end)
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
}


def is_topic_away(error: KafkaError) -> bool:
    """Whether the client has failed a record because it was told that its topic, or its partition, does not exist."""
    return error.code() in _TOPIC_AWAY


class UnconfirmedTick(NamedTuple):
    """A tick that the client gave back: it may be in the topic, and if it is not, it can be handed over again."""

    seq: int
    key: bytes | None
    value: bytes | None
    block: Block


class Block:
    """Consecutive ticks with one delivery callback between them, so that an answer costs no more than an addition."""

    __slots__ = ("_orphans", "acknowledged", "failed", "first", "size")

    def __init__(self, first: int, size: int, orphans: list[UnconfirmedTick]) -> None:
        """Expect answers for `size` ticks from number `first` on; one that is given back, to `orphans`, has none yet."""
        self.first = first
        self.size = size
        self.acknowledged = 0
        self.failed: list[int] = []
        self._orphans = orphans

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take the answer for one tick."""
        if error is None:
            self.acknowledged += 1
        elif error.code() in _GIVEN_BACK:
            self._orphans.append(UnconfirmedTick(_seq(message), message.key(), message.value(), self))
        else:
            self.failed.append(_seq(message))

    @property
    def is_settled(self) -> bool:
        """Whether there was an answer for every tick."""
        return self.acknowledged + len(self.failed) == self.size

    def acknowledged_ranges(self) -> list[Range]:
        """Give the acknowledged numbers of a settled block: all but the failed ones."""
        fences = [self.first - 1, *sorted(self.failed), self.first + self.size]
        return [(before + 1, after - 1) for before, after in pairwise(fences) if after - before > 1]

    def failed_ranges(self) -> list[Range]:
        """Give the failed numbers."""
        return [(seq, seq) for seq in self.failed]


class MalformedDelivery:
    """Answers for records that are malformed on purpose: they have no numbers, and are counted apart from ticks."""

    def __init__(self) -> None:
        """Begin at none."""
        self.made = 0
        self.acknowledged = 0

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Take the answer for one record."""
        self.acknowledged += error is None


class Deliveries:
    """All ticks of a run."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: list[Block] = []
        self._settled_acknowledged = 0
        self.made = 0
        self.failed = 0
        self.malformed = MalformedDelivery()
        self.orphans: list[UnconfirmedTick] = []

    def open(self, first: int, size: int) -> Block:
        """Begin a block."""
        block = Block(first, size, self.orphans)
        self._open.append(block)
        self.made += size
        return block

    def truncate(self, block: Block, size: int) -> None:
        """Shorten a block to the ticks that were really handed over."""
        self.made -= block.size - size
        block.size = size

    def find(self, arrived: set[int]) -> None:
        """Take those orphans as acknowledged whose numbers have arrived in the topic."""
        for orphan in self.orphans:
            orphan.block.acknowledged += orphan.seq in arrived
        self.orphans[:] = [orphan for orphan in self.orphans if orphan.seq not in arrived]

    def give_up(self) -> None:
        """Take all orphans as failed."""
        for orphan in self.orphans:
            orphan.block.failed.append(orphan.seq)
        self.orphans.clear()

    def settled(self) -> list[Block]:
        """Give the blocks that have become settled since the last call."""
        settled = [block for block in self._open if block.is_settled]
        if settled:
            self._open = [block for block in self._open if not block.is_settled]
            self._settled_acknowledged += sum(block.acknowledged for block in settled)
            self.failed += sum(len(block.failed) for block in settled)
        return settled

    @property
    def acknowledged(self) -> int:
        """How many ticks the broker has acknowledged."""
        return self._settled_acknowledged + sum(block.acknowledged for block in self._open)

    @property
    def unsent(self) -> int:
        """How many records, malformed ones among them, the broker has not acknowledged."""
        return self.made - self.acknowledged + self.malformed.made - self.malformed.acknowledged

    def figures(self) -> dict[str, int]:
        """Give the balance: ticks made and acknowledged, records of either kind unsent, malformed records acknowledged."""
        return {
            "made": self.made,
            "acknowledged": self.acknowledged,
            "unsent": self.unsent,
            "malformed": self.malformed.acknowledged,
        }


def _seq(message: Message) -> int:
    value = message.value()
    seq = decode(value if isinstance(value, bytes) else None).seq
    assert seq is not None, "every tick of the producer has its number"  # noqa: S101
    return seq
