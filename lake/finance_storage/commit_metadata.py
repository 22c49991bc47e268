"""Commit metadata: what every commit of the job states about itself, in the `userMetadata` of Delta's `commitInfo`.

It makes a table its own checkpoint. The newest metadata has the position from which the job continues, in the same atomic
commit as the rows up to it. It also makes the table's log a ledger. The offset ranges of the commits add up to the offsets that
the table must hold, and the digests to the digest of its rows, without opening a data file or a JVM. The metadata also carries
running totals, so the newest one is enough to judge the whole table. Older metadata, which log clean-up removes in time, serves
only to locate a fault.
"""

from __future__ import annotations

from datetime import date  # noqa: TC003 (msgspec reads the annotations)
from typing import Annotated

import msgspec

from finance_kafka.offsets import Count, OffsetRange, Offsets, Partition  # noqa: TC001 (msgspec reads the annotations)
from finance_storage import digest

Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class Total(msgspec.Struct, frozen=True):
    """Totals of a whole table after a commit.

    Attributes:
        rows: number of live rows
        digest: digest of all of them, 16 hexadecimal digits
        holes: number of offsets in the lake's range so far without a Kafka record (transaction markers; kept for ticks only)

    """

    rows: Count = 0
    digest: Digest = digest.to_text(0)
    holes: Count = 0

    def plus(self, rows: int, digest_of_rows: int, holes: int = 0) -> Total:
        """Add rows; a negative count and digest subtract them."""
        total = digest.add([int(self.digest, 16), digest_of_rows])
        return Total(self.rows + rows, digest.to_text(total), self.holes + holes)


class CommitMetadata(msgspec.Struct, frozen=True, omit_defaults=True):
    """Metadata of one commit to one of the two tables.

    Attributes:
        contract: version of the contract that decoded the rows
        offsets: ranges that the batch spans, by Kafka partition; the same in both tables' commits of a batch
        rows: number of rows that this commit adds to its table, by Kafka partition
        digest: digest of those rows (finance_storage.digest), 16 hexadecimal digits
        position: the next offset that the lake needs after the batch, by Kafka partition
        total: totals of the table after this commit
        redrives: number of redrives so far; while one is under way ticks is one ahead of the quarantine
        redriven: offsets that the redrive under way has appended to ticks; the quarantine contains them too until it ends
        retractions: number of retractions so far; while one is under way the quarantine is one ahead of ticks
        retracting: offsets that the retraction under way has appended to the quarantine; ticks contains them too until it ends
        lake: id of the lake; empty in metadata written before version 0.2
        epoch: number of the driver that commits; each start of a driver raises it
        driver: in the commit by which a driver takes over: an id that no other one has. If the answer to that commit is lost,
            the driver recognises it as its own
        sequence: number of this commit among those to this table; the version of its Delta transaction
        finalized_until: all days before this one are sealed (finance_storage.seals): no commit adds or removes ticks of them
            without setting this back to their day; None if no day is sealed. Kept for ticks only

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
    retractions: Count = 0
    retracting: dict[Partition, list[OffsetRange]] = {}
    finalized_until: date | None = None
    driver: str = ""

    @property
    def is_first(self) -> bool:
        """Whether the table was created by this commit; tables made before version 0.2 have no such metadata."""
        return self.sequence == 0 and bool(self.lake)

    def encode(self) -> str:
        """Encode as JSON, for the log."""
        return msgspec.json.encode(self).decode()


def is_untouched(rows: int, metadata: CommitMetadata | None) -> bool:
    """Whether a table has never stored anything and no driver has opened it."""
    return not rows and (metadata is None or metadata.is_first)


def half_redriven(ticks: CommitMetadata | None, quarantine: CommitMetadata | None) -> dict[int, list[OffsetRange]]:
    """Return the offsets that are in both tables because a redrive is under way, by their newest metadata; empty if none."""
    if ticks is None or quarantine is None or ticks.redrives != quarantine.redrives + 1:
        return {}
    return ticks.redriven


def half_retracted(ticks: CommitMetadata | None, quarantine: CommitMetadata | None) -> dict[int, list[OffsetRange]]:
    """Return the offsets that are in both tables because a retraction is under way; empty if none."""
    if ticks is None or quarantine is None or quarantine.retractions != ticks.retractions + 1:
        return {}
    return quarantine.retracting


def in_both(ticks: CommitMetadata | None, quarantine: CommitMetadata | None) -> dict[int, list[OffsetRange]]:
    """Return the offsets that are in both tables because rows move from one to the other; empty if none."""
    return half_redriven(ticks, quarantine) or half_retracted(ticks, quarantine)


def decode_metadata(text: str) -> CommitMetadata:
    """Decode commit metadata. Raises msgspec.ValidationError or DecodeError if it is not valid."""
    return msgspec.json.decode(text, type=CommitMetadata)


def metadata_in(metadata: str | None) -> CommitMetadata | None:
    """Return the job's metadata in a commit's user metadata; None if another writer committed."""
    try:
        return decode_metadata(metadata) if metadata else None
    except (msgspec.MsgspecError, RecursionError):
        return None
