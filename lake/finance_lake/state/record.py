"""The commit record: what every commit of the job says of itself, in the `userMetadata` of Delta's `commitInfo`.

It makes the table's log a ledger: the offset ranges of the commits add up to what the table must hold, and the digests to what
its rows must be, without opening a data file or a JVM.
"""

from __future__ import annotations

import msgspec

Offsets = dict[int, int]


class OffsetRange(msgspec.Struct, frozen=True, array_like=True):
    """Offsets `[start, end)` of one Kafka partition."""

    start: int
    end: int

    @property
    def count(self) -> int:
        """How many offsets the range spans."""
        return self.end - self.start


class CommitRecord(msgspec.Struct, frozen=True):
    """One commit to one of the two tables.

    Attributes:
        contract: version of the contract that decoded the batch
        query: id of the streaming query, from its checkpoint
        batch: id of the micro-batch
        offsets: what the batch spans, by Kafka partition; the same in both tables' commits of a batch
        rows: rows that this commit adds to its table, by Kafka partition
        digest: digest of those rows (finance_lake.state.digest), 16 hexadecimal digits

    """

    contract: int
    query: str
    batch: int
    offsets: dict[int, OffsetRange]
    rows: dict[int, int]
    digest: str

    def encode(self) -> str:
        """As JSON, for the log."""
        return msgspec.json.encode(self).decode()


def decode_record(text: str) -> CommitRecord:
    """Read a record back; raises msgspec.ValidationError or DecodeError if it is none."""
    return msgspec.json.decode(text, type=CommitRecord)
