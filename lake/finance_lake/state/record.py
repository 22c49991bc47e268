"""The commit record: what every commit of the job says of itself, in the `userMetadata` of Delta's `commitInfo`.

It makes the table's log a ledger: the offset ranges of the commits add up to what the table must hold, and the digests to what
its rows must be, without opening a data file or a JVM. Each record also carries the sums so far, so the newest one suffices to
judge the table as a whole, and the older ones (which log clean-up removes in time) only to name the place of a fault.
"""

from __future__ import annotations

import json

import msgspec

from finance_lake.state import digest

Offsets = dict[int, int]


class OffsetRange(msgspec.Struct, frozen=True, array_like=True):
    """Offsets `[start, end)` of one Kafka partition."""

    start: int
    end: int

    @property
    def count(self) -> int:
        """How many offsets the range spans."""
        return self.end - self.start


class Total(msgspec.Struct, frozen=True):
    """What a whole table holds after a commit.

    Attributes:
        rows: live rows
        digest: of all of them, 16 hexadecimal digits
        holes: offsets of the lake's range so far that Kafka had no record for (transaction markers; kept for ticks only)

    """

    rows: int = 0
    digest: str = digest.to_text(0)
    holes: int = 0

    def plus(self, rows: int, digest_of_rows: int, holes: int = 0) -> Total:
        """Add rows, or take them away with negative figures."""
        total = digest.add([int(self.digest, 16), digest_of_rows])
        return Total(self.rows + rows, digest.to_text(total), self.holes + holes)


class CommitRecord(msgspec.Struct, frozen=True):
    """One commit to one of the two tables.

    Attributes:
        contract: version of the contract that decoded the rows
        query: who commits: the id of the streaming query, or of a recovery or redrive
        batch: id of the micro-batch, or the step of a recovery or redrive
        offsets: what the batch spans, by Kafka partition; the same in both tables' commits of a batch
        rows: rows that this commit adds to its table, by Kafka partition
        digest: of those rows (finance_lake.state.digest), 16 hexadecimal digits
        position: the next offset that the lake needs after the batch, by Kafka partition
        total: the table after this commit
        redrives: how many redrives the table has seen; while one is under way ticks is one ahead of the quarantine

    """

    contract: int
    query: str
    batch: int
    offsets: dict[int, OffsetRange]
    rows: dict[int, int]
    digest: str
    position: Offsets
    total: Total
    redrives: int

    def encode(self) -> str:
        """As JSON, for the log."""
        return msgspec.json.encode(self).decode()


def decode_record(text: str) -> CommitRecord:
    """Read a record back; raises msgspec.ValidationError or DecodeError if it is none."""
    return msgspec.json.decode(text, type=CommitRecord)


def record_in(metadata: str | None) -> CommitRecord | None:
    """Give the record in a commit's user metadata; None if somebody else has committed."""
    try:
        return decode_record(metadata) if metadata else None
    except (msgspec.MsgspecError, json.JSONDecodeError):
        return None
