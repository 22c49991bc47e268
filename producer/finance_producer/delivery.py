"""What became of the ticks that were handed to the client: only the broker's answer to each counts."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from finance_contract import decode

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from finance_producer.ledger import Range


class Block:
    """Consecutive ticks with one delivery callback between them, so that an answer costs no more than an addition."""

    __slots__ = ("acknowledged", "failed", "first", "size")

    def __init__(self, first: int, size: int) -> None:
        """Expect answers for `size` ticks from number `first` on."""
        self.first = first
        self.size = size
        self.acknowledged = 0
        self.failed: list[int] = []

    def delivered(self, error: KafkaError | None, message: Message) -> None:
        """Take the answer for one tick."""
        if error is None:
            self.acknowledged += 1
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


class Malformed:
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
        self.malformed = Malformed()

    def open(self, first: int, size: int) -> Block:
        """Begin a block."""
        block = Block(first, size)
        self._open.append(block)
        self.made += size
        return block

    def cut(self, block: Block, size: int) -> None:
        """Shorten a block to the ticks that were really handed over."""
        self.made -= block.size - size
        block.size = size

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
