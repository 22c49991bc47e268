"""The commit record: what every commit of the job says of itself, in the `userMetadata` of Delta's `commitInfo`.

It makes a table its own checkpoint: the newest record has the position from which the job goes on, in the same atomic commit as
the rows up to it. It makes the table's log a ledger too: the offset ranges of the commits add up to what the table must hold,
and the digests to what its rows must be, without opening a data file or a JVM. Each record also carries the sums so far, so the
newest one suffices to judge the whole table, and the older ones (which log clean-up removes in time) only to locate a fault.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from finance_kafka.offsets import Count, OffsetRange, Offsets, Partition  # noqa: TC001 (msgspec reads the annotations)
from finance_storage import digest

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class Total(msgspec.Struct, frozen=True):
    """What a whole table holds after a commit.

    Attributes:
        rows: live rows
        digest: of all of them, 16 hexadecimal digits
        holes: offsets of the lake's range so far that Kafka had no record for (transaction markers; kept for ticks only)

    """

    rows: Count = 0
    digest: Digest = digest.to_text(0)
    holes: Count = 0

    def plus(self, rows: int, digest_of_rows: int, holes: int = 0) -> Total:
        """Add rows, or take them away with negative figures."""
        total = digest.add([int(self.digest, 16), digest_of_rows])
        return Total(self.rows + rows, digest.to_text(total), self.holes + holes)


class CommitMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """One commit to one of the two tables.

    Attributes:
        contract: version of the contract that decoded the rows
        offsets: what the batch spans, by Kafka partition; the same in both tables' commits of a batch
        rows: rows that this commit adds to its table, by Kafka partition
        digest: of those rows (finance_storage.digest), 16 hexadecimal digits
        position: the next offset that the lake needs after the batch, by Kafka partition
        total: the table after this commit
        redrives: how many redrives the table has seen; while one is under way ticks is one ahead of the quarantine
        redriven: offsets that the redrive under way has appended to ticks, and that the quarantine has too until it ends
        lake: id of the lake; empty in records that were written before version 0.2
        epoch: number of the driver that commits; each start of one raises it
        sequence: number of this commit among those to this table, the version of its Delta transaction

    """

    contract: int
    offsets: dict[Partition, OffsetRange]
    rows: Offsets
    digest: Digest
    position: Offsets
    total: Total
    redrives: Count
    lake: str = ""
    epoch: Count = 0
    sequence: Count = 0
    redriven: dict[Partition, list[OffsetRange]] = {}

    @property
    def is_first(self) -> bool:
        """Whether it is the record that a table is created with; those of lakes made before version 0.2 have none."""
        return self.sequence == 0 and bool(self.lake)

    def encode(self) -> str:
        """As JSON, for the log."""
        return msgspec.json.encode(self).decode()


def is_untouched(rows: int, record: CommitMetadata | None) -> bool:
    """Whether nothing has ever been stored in a table, and no driver has opened it."""
    return not rows and (record is None or record.is_first)


def half_redriven(ticks: CommitMetadata | None, quarantine: CommitMetadata | None) -> dict[int, list[OffsetRange]]:
    """Give the offsets that stand in both tables, by their newest records, because a redrive is under way; empty if none is."""
    if ticks is None or quarantine is None or ticks.redrives != quarantine.redrives + 1:
        return {}
    return ticks.redriven


def decode_metadata(text: str) -> CommitMetadata:
    """Read a record back; raises msgspec.ValidationError or DecodeError if it is none."""
    return msgspec.json.decode(text, type=CommitMetadata)


def metadata_in(metadata: str | None) -> CommitMetadata | None:
    """Give the record in a commit's user metadata; None if somebody else has committed."""
    try:
        return decode_metadata(metadata) if metadata else None
    except (msgspec.MsgspecError, RecursionError):
        return None
