"""Track the delivery of each tick that was handed to the client; only the broker's answer counts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from confluent_kafka import KafkaError

from finance_contract import decode

if TYPE_CHECKING:
    from confluent_kafka import Message

    from finance_storage.ledger import Range

_TOPIC_MISSING = {
    KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 (its public constants look like this)
    KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.UNKNOWN_TOPIC_ID,
}
_RETURNED = _TOPIC_MISSING | {
    KafkaError._DESTROY,  # noqa: SLF001 (records between two queues when their partition was removed)
    KafkaError._PURGE_QUEUE,  # noqa: SLF001 (a client is purged when it is replaced, and at the end)
    KafkaError._PURGE_INFLIGHT,  # noqa: SLF001
}


def is_topic_missing(error: KafkaError) -> bool:
    """Return whether the client failed a record because its topic or partition does not exist, according to the broker."""
    return error.code() in _TOPIC_MISSING


class UnconfirmedTick(NamedTuple):
    """A tick that the client returned: it may be in the topic, and if it is not, it can be sent again."""

    seq: int
    key: bytes | None
    value: bytes | None
    block: TickBlock


class TickBlock:
    """Consecutive ticks that share one delivery callback, so that an acknowledgement costs only an addition.

    Attributes:
        first, size: the number of the first tick, and how many were handed to the client
        is_growing: whether more are to be handed over
        acknowledged, failed: how many the broker has acknowledged, and the numbers of those that the client gave up on

    """

    __slots__ = ("_unconfirmed", "acknowledged", "failed", "first", "is_growing", "size")

    def __init__(self, first: int, unconfirmed: list[UnconfirmedTick]) -> None:
        """Expect ticks from number `first`; those that the client returns go to `unconfirmed`, unsettled."""
        self.first = first
        self.size = 0
        self.is_growing = True
        self.acknowledged = 0
        self.failed: list[int] = []
        self._unconfirmed = unconfirmed

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Record the answer for one tick."""
        if error is None:
            self.acknowledged += 1
        elif error.code() in _RETURNED:
            self._unconfirmed.append(UnconfirmedTick(_seq(message), message.key(), message.value(), self))
        else:
            self.failed.append(_seq(message))

    @property
    def is_settled(self) -> bool:
        """Whether every tick is acknowledged or failed."""
        return not self.is_growing and self.acknowledged + len(self.failed) == self.size

    def acknowledged_ranges(self) -> list[Range]:
        """Return the acknowledged numbers of a settled block: all but the failed ones."""
        gaps = [self.first - 1, *sorted(self.failed), self.first + self.size]
        return [(before + 1, after - 1) for before, after in pairwise(gaps) if after - before > 1]

    def failed_ranges(self) -> list[Range]:
        """Return the failed numbers."""
        return [(seq, seq) for seq in self.failed]


class MalformedDelivery:
    """Delivery of the records that are malformed on purpose: they have no numbers and are counted apart from ticks."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.made = 0
        self.acknowledged = 0

    def delivered(self, error: KafkaError | None, _message: Message) -> None:
        """Record the answer for one record."""
        self.acknowledged += error is None


class Deliveries:
    """The delivery of all records of a run."""

    def __init__(self) -> None:
        """Begin without ticks."""
        self._open: list[TickBlock] = []
        self._settled_acknowledged = 0
        self.made = 0
        self.failed = 0
        self.malformed = MalformedDelivery()
        self.unconfirmed: list[UnconfirmedTick] = []

    def open(self, first: int) -> TickBlock:
        """Start a block of ticks."""
        block = TickBlock(first, self.unconfirmed)
        self._open.append(block)
        return block

    def grow(self, block: TickBlock, size: int) -> None:
        """Record that the client has the first `size` ticks of a block."""
        self.made += size - block.size
        block.size = size

    def acknowledge_unreported(self) -> None:
        """Count all ticks as acknowledged that the client has not returned or given up on: it has none left."""
        returned = Counter(id(tick.block) for tick in self.unconfirmed)
        for block in self._open:
            block.acknowledged = block.size - len(block.failed) - returned[id(block)]

    def acknowledge_arrived(self, arrived: set[int]) -> None:
        """Count unconfirmed ticks as acknowledged if their numbers are in the topic."""
        for tick in self.unconfirmed:
            tick.block.acknowledged += tick.seq in arrived
        self.unconfirmed[:] = [tick for tick in self.unconfirmed if tick.seq not in arrived]

    def fail_unconfirmed(self) -> None:
        """Count all unconfirmed ticks as failed."""
        for tick in self.unconfirmed:
            tick.block.failed.append(tick.seq)
        self.unconfirmed.clear()

    def settled(self) -> list[TickBlock]:
        """Return the blocks that have become settled since the last call."""
        settled = [block for block in self._open if block.is_settled]
        if settled:
            self._open = [block for block in self._open if not block.is_settled]
            self._settled_acknowledged += sum(block.acknowledged for block in settled)
            self.failed += sum(len(block.failed) for block in settled)
        return settled

    @property
    def unsettled(self) -> int:
        """The number of ticks in blocks that are not settled."""
        return sum(block.size for block in self._open)

    @property
    def acknowledged(self) -> int:
        """The number of ticks that the broker has acknowledged."""
        return self._settled_acknowledged + sum(block.acknowledged for block in self._open)

    @property
    def unsent(self) -> int:
        """The number of records, including malformed ones, that the broker has not acknowledged."""
        return self.made - self.acknowledged + self.malformed.made - self.malformed.acknowledged

    def figures(self) -> dict[str, int]:
        """Return the totals: ticks made and acknowledged, records of either kind unsent, malformed records acknowledged."""
        return {
            "made": self.made,
            "acknowledged": self.acknowledged,
            "unsent": self.unsent,
            "malformed": self.malformed.acknowledged,
        }


def _seq(message: Message) -> int:
    value = message.value()
    seq = decode(value if isinstance(value, bytes) else None).seq
    assert seq is not None, "every tick of the producer has a seq"  # noqa: S101
    return seq
