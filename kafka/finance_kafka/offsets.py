"""Offsets of a topic."""

from __future__ import annotations

from typing import Annotated

import msgspec

# What a stranger's files may hold beyond would break arithmetic with 64 bits.
Partition = Annotated[int, msgspec.Meta(ge=-1, lt=2**31)]
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Offsets = dict[Partition, Count]


class OffsetRange(msgspec.Struct, frozen=True, array_like=True):
    """Offsets `[start, end)` of one Kafka partition."""

    start: Count
    end: Count

    @property
    def count(self) -> int:
        """How many offsets the range spans."""
        return self.end - self.start
