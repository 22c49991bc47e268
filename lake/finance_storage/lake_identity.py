"""The identity of a lake: the topic and cluster that it holds, and from which offsets. Both tables store it as a property.

So the two tables are the whole lake: the job continues from them, and there is no other file to lose. The property is written
when a table is created, and again only by `recover`, which adds known losses, excused ticks and adopted topics.
Lakes made before version 0.2 have it in `data/lake.json`; the job moves it into the tables at its first start.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from finance_kafka.offsets import Count, OffsetRange, Offsets, Partition
from finance_role import beneath
from finance_storage import place
from finance_storage.delta_table import open_table
from finance_storage.offset_set import OffsetSet, union
from finance_storage.paths import QUARANTINE, TICKS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from deltalake import DeltaTable

    from finance_kafka.describe import TopicDescription
    from finance_storage.paths import LakePaths
    from finance_storage.place import Place

PROPERTY = "financelake.identity"
# Of one topic. Partition p of the topic that the lake adopted as its n-th is partition n * MAX_PARTITIONS + p of the lake.
MAX_PARTITIONS = 1000


class CorruptStateError(Exception):
    """A part of the lake's state exists and cannot be read; the message names it."""


class Loss(msgspec.Struct, frozen=True):
    """Offsets `[start, end)` of a partition that are known to be lost, and why. `noted` is an ISO time."""

    partition: Partition
    start: Count
    end: Count
    reason: str
    noted: str

    @property
    def count(self) -> int:
        """The number of offsets."""
        return self.end - self.start


class Excused(msgspec.Struct, frozen=True):
    """Ticks at offsets `[start, end)` of a partition; their numbers do not count for their source. `noted` is an ISO time."""

    partition: int
    start: int
    end: int
    noted: str


class Adopted(msgspec.Struct, frozen=True):
    """A topic that the lake has taken over from the one before it (docs/adr/0019). `noted` is an ISO time.

    Attributes:
        cluster: id of its Kafka cluster
        topic_id: id of this incarnation of the topic
        ends: where each of the lake's partitions of the topic before it ends

    """

    cluster: str
    topic_id: str
    ends: Offsets
    noted: str


class Identity(msgspec.Struct, frozen=True):
    """The identity of a lake.

    Partitions have the lake's numbers, here and wherever a lake's partitions are meant: those of the topic that the lake was
    created with are the topic's own, those of an adopted one are `base` above them.

    Attributes:
        lake: id of the lake, a UUID; it names the Delta transactions of both tables
        cluster: id of the Kafka cluster that it was created with; a version that does not know `adopted` refuses any other one
        topic: name of the topic
        topic_id: id of the topic that it was created with; a topic that is deleted and created again gets another one
        first: the first offset that the lake is to hold, by partition; 0 for one that was added later
        created: time of creation, an ISO time
        losses: offsets that recover found to be lost for good
        excused: ticks that another client sent under a producer's source; a person has excused them
        adopted: the topics that the lake has taken over since, in this order

    """

    lake: str
    cluster: str
    topic: str
    topic_id: str
    first: Offsets
    created: str
    losses: tuple[Loss, ...] = ()
    excused: tuple[Excused, ...] = ()
    adopted: tuple[Adopted, ...] = ()

    @property
    def topics(self) -> tuple[Identity | Adopted, ...]:
        """What has the `cluster` and the `topic_id` of each topic that the lake has held, in this order."""
        return (self, *self.adopted)

    @property
    def current(self) -> Identity | Adopted:
        """What has the `cluster` and the `topic_id` of the topic that the lake holds now."""
        return self.topics[-1]

    @property
    def base(self) -> int:
        """The lake's number of partition 0 of its current topic."""
        return MAX_PARTITIONS * len(self.adopted)

    @property
    def retired(self) -> Offsets:
        """Where the partitions of all earlier topics end; they get no more records."""
        return {partition: end for topic in self.adopted for partition, end in topic.ends.items()}

    def is_of(self, broker: TopicDescription) -> bool:
        """Whether this is the lake's current topic."""
        return (broker.cluster, broker.topic_id) == (self.current.cluster, self.current.topic_id)

    def numbered(self, broker: TopicDescription) -> TopicDescription:
        """Return the description of the lake's topic by the lake's partitions; of another topic, as it is.

        Partitions of earlier topics have no records any more: they begin and end where the lake's do.
        """
        if not self.is_of(broker):
            return broker
        first, end = ({self.base + own: offset for own, offset in offsets.items()} for offsets in (broker.first, broker.end))
        return replace(broker, first=self.retired | first, end=self.retired | end)

    @property
    def excused_spans(self) -> OffsetSet:
        """The offsets of the excused ticks."""
        return union(*({entry.partition: [OffsetRange(entry.start, entry.end)]} for entry in self.excused))

    @property
    def lost_spans(self) -> OffsetSet:
        """The offsets of the known losses."""
        return union(*({loss.partition: [OffsetRange(loss.start, loss.end)]} for loss in self.losses))

    def start(self, partition: int) -> int:
        """Return the lake's first offset of a partition."""
        return self.first.get(partition, 0)

    def spanned(self, position: Offsets) -> int:
        """Count the offsets from the lake's first to a position, without known losses."""
        span = sum(end - self.start(partition) for partition, end in position.items())
        lost = sum(max(0, min(loss.end, position.get(loss.partition, 0)) - loss.start) for loss in self.losses)
        return span - lost

    def properties(self) -> dict[str, str]:
        """Return the table property that stores it; `adopted` is in it only if there is any."""
        fields = msgspec.structs.asdict(self)
        stored = fields if self.adopted else {name: value for name, value in fields.items() if name != "adopted"}
        return {PROPERTY: msgspec.json.encode(stored).decode()}


class _BeforeTables(msgspec.Struct, frozen=True):
    """`lake.json`, as written until version 0.1; the streaming query's id becomes the lake's id."""

    cluster: str
    topic: str
    topic_id: str
    query: str
    first: Offsets
    born: str
    losses: tuple[Loss, ...] = ()


def identity_of(table: DeltaTable) -> Identity | None:
    """Read the identity from a table's property; None if it has none. Raises CorruptStateError if the property is not valid."""
    text = table.metadata().configuration.get(PROPERTY)
    try:
        return msgspec.json.decode(text, type=Identity) if text else None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CorruptStateError(f"the property {PROPERTY} of {table.table_uri} is damaged ({error})") from None


def read_identity(paths: LakePaths, versions: Mapping[str, int] | None = None) -> Identity | None:
    """Return a lake's identity: from ticks, or from the quarantine if ticks is missing, or from an older lake's `lake.json`.

    `versions` maps table names to the versions to open; tables not named there are opened at the newest version. None if there
    is no lake. Raises CorruptStateError, and deltalake's DeltaError if a log cannot be read.
    """
    for name in (TICKS, QUARANTINE):
        table = open_table(paths.table(name), (versions or {}).get(name))
        if table is not None and (identity := identity_of(table)):
            return identity
    return read_before_tables(paths.before_tables)


def numbered_in(paths: LakePaths, broker: TopicDescription) -> TopicDescription:
    """Return the description by the partitions of a lake; without a lake, as it is. Raises as `read_identity` does."""
    identity = read_identity(paths)
    return identity.numbered(broker) if identity else broker


def read_before_tables(path: Place) -> Identity | None:
    """Read the `lake.json` of a lake made before version 0.2; None if it does not exist. Raises CorruptStateError."""
    try:
        old = msgspec.json.decode(place.read(path.parent, path), type=_BeforeTables)
    except FileNotFoundError:
        return None
    except beneath.IrregularError as error:
        raise CorruptStateError(str(error)) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise CorruptStateError(f"{path} is damaged ({error})") from None
    return Identity(old.query, old.cluster, old.topic, old.topic_id, old.first, old.born, old.losses)
