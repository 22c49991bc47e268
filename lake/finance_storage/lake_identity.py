"""Who a lake is: which topic of which cluster it holds, and from which offsets. Both tables carry it as a table property.

So the two tables alone are the lake: the job goes on from them, and no file beside them can be lost. The property is written
when a table is created, and again only by `recover`, which adds known losses and what is excused.
Lakes made before version 0.2 have it in `data/lake.json`; the job moves it into the tables at its first start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from finance_kafka.offsets import Count, OffsetRange, Offsets, Partition
from finance_role import beneath
from finance_storage.delta_table import open_table
from finance_storage.offset_set import OffsetSet, union
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deltalake import DeltaTable

    from finance_storage.paths import LakePaths

PROPERTY = "financelake.identity"


class CorruptStateError(Exception):
    """A part of the lake's state is there and cannot be read; the message names it."""


class Loss(msgspec.Struct, frozen=True):
    """Offsets `[start, end)` of a partition that the lake knows it does not have, and why; `noted` is an ISO time."""

    partition: Partition
    start: Count
    end: Count
    reason: str
    noted: str

    @property
    def count(self) -> int:
        """How many offsets."""
        return self.end - self.start


class Excused(msgspec.Struct, frozen=True):
    """Ticks at offsets `[start, end)` of a partition: their numbers do not count for their source. `noted` is an ISO time."""

    partition: int
    start: int
    end: int
    noted: str


class Identity(msgspec.Struct, frozen=True):
    """Who the lake is.

    Attributes:
        lake: id of the lake, a UUID; it names the Delta transactions of both tables
        cluster: id of the Kafka cluster
        topic: name of the topic
        topic_id: id of this incarnation of the topic; one that is deleted and made again has another
        first: the first offset that the lake is to hold, by Kafka partition; 0 for one that was added later
        created: when, an ISO time
        losses: what recover has found to be gone for good
        excused: ticks that somebody else has sent under a producer's name, as a person has said

    """

    lake: str
    cluster: str
    topic: str
    topic_id: str
    first: Offsets
    created: str
    losses: tuple[Loss, ...] = ()
    excused: tuple[Excused, ...] = ()

    @property
    def excused_spans(self) -> OffsetSet:
        """The coordinates of the ticks that are excused."""
        return union(*({one.partition: [OffsetRange(one.start, one.end)]} for one in self.excused))

    def start(self, partition: int) -> int:
        """First offset of a partition."""
        return self.first.get(partition, 0)

    def spanned(self, position: Offsets) -> int:
        """Count the offsets from the lake's first to a position, without those that are known to be lost."""
        span = sum(end - self.start(partition) for partition, end in position.items())
        lost = sum(max(0, min(loss.end, position.get(loss.partition, 0)) - loss.start) for loss in self.losses)
        return span - lost

    def properties(self) -> dict[str, str]:
        """Give the table property that carries it."""
        return {PROPERTY: msgspec.json.encode(self).decode()}


class _BeforeTables(msgspec.Struct, frozen=True):
    """`lake.json`, as it was until version 0.1; the id of the streaming query becomes that of the lake."""

    cluster: str
    topic: str
    topic_id: str
    query: str
    first: Offsets
    born: str
    losses: tuple[Loss, ...] = ()


def identity_of(table: DeltaTable) -> Identity | None:
    """Read a table's property; None if it has none. Raises CorruptStateError for one that is no identity."""
    text = table.metadata().configuration.get(PROPERTY)
    try:
        return msgspec.json.decode(text, type=Identity) if text else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CorruptStateError(f"the property {PROPERTY} of {table.table_uri} is damaged ({error})") from None


def read_identity(paths: LakePaths, versions: Mapping[str, int] | None = None) -> Identity | None:
    """Return a lake's identity: that of ticks, or of the quarantine where ticks are gone, or of an older lake's `lake.json`.

    `versions` says as of which version to open a table that is named there. None if there is no lake. Raises CorruptStateError,
    and deltalake's DeltaError for a log that cannot be read.
    """
    for name in (TICKS, QUARANTINE):
        table = open_table(paths.table(name), (versions or {}).get(name))
        if table is not None and (identity := identity_of(table)):
            return identity
    return read_before_tables(paths.before_tables)


def read_before_tables(path: Path) -> Identity | None:
    """Read the `lake.json` of a lake made before version 0.2; None if there is none. Raises CorruptStateError."""
    try:
        old = msgspec.json.decode(beneath.read(path.parent, path), type=_BeforeTables)
    except FileNotFoundError:
        return None
    except beneath.IrregularError as error:
        raise CorruptStateError(str(error)) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CorruptStateError(f"{path} is damaged ({error})") from None
    return Identity(old.query, old.cluster, old.topic, old.topic_id, old.first, old.born, old.losses)
