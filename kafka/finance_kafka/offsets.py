"""Offsets of a topic."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Limits for untrusted files: larger values would break 64-bit arithmetic.
Partition = Annotated[int, msgspec.Meta(ge=-1, lt=2**31)]
Count = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Offsets = dict[Partition, Count]


class OffsetRange(msgspec.Struct, frozen=True, array_like=True):
    """Offsets `[start, end)` of one Kafka partition."""

    start: Count
    end: Count

    @property
    def count(self) -> int:
        """The number of offsets in the range."""
        return self.end - self.start
