"""`data/lake.json`, the lake's birth certificate: which topic of which cluster it holds, by which query, from which offsets.

It is written first, before the first batch, and again only by `recover`, which begins a new query and notes what is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from finance_lake.state.files import write_whole
from finance_lake.state.record import Offsets  # noqa: TC001 (msgspec reads the annotation)

if TYPE_CHECKING:
    from pathlib import Path


class DamagedError(Exception):
    """A file of the lake's state is there and cannot be read; the message names it."""


class Loss(msgspec.Struct, frozen=True):
    """Offsets `[start, end)` of a partition that the lake knows it does not have, and why; `noted` is an ISO time."""

    partition: int
    start: int
    end: int
    reason: str
    noted: str

    @property
    def count(self) -> int:
        """How many offsets."""
        return self.end - self.start


class Identity(msgspec.Struct, frozen=True):
    """Who the lake is.

    Attributes:
        cluster: id that ZooKeeper keeps for the Kafka cluster
        topic: name of the topic
        topic_id: id of this incarnation of the topic; one that is deleted and made again has another
        query: id of the streaming query, the one in its checkpoint
        first: the first offset that the lake is to hold, by Kafka partition; 0 for one that was added later
        born: when, an ISO time
        losses: what recover has found to be gone for good

    """

    cluster: str
    topic: str
    topic_id: str
    query: str
    first: Offsets
    born: str
    losses: tuple[Loss, ...] = ()

    def start(self, partition: int) -> int:
        """First offset of a partition."""
        return self.first.get(partition, 0)

    def spanned(self, position: Offsets) -> int:
        """Count the offsets from the lake's first to a position, without those that are known to be lost."""
        span = sum(end - self.start(partition) for partition, end in position.items())
        lost = sum(max(0, min(loss.end, position.get(loss.partition, 0)) - loss.start) for loss in self.losses)
        return span - lost


def read_identity(path: Path) -> Identity | None:
    """Read lake.json; None if there is none. Raises DamagedError if there is something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{path} is damaged ({error})") from None


def write_identity(path: Path, identity: Identity) -> None:
    """Write lake.json whole."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(identity), indent=2) + b"\n")
