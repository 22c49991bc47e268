"""What the records of one day are, counted a batch of rows at a time. Pure.

Memory is bounded: a bit for each offset and sequence number of the day, and `MAX_SOURCES` sources.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from finance_job.sealing.number_set import NumberSet, Room
from finance_kafka.offsets import OffsetRange
from finance_storage import digest, offset_set
from finance_storage.offset_set import inside
from finance_storage.seals import FORMAT, FileSeal, Manifest, PartitionSeal, SourceSeal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date, datetime

    import pyarrow as pa

    from finance_storage.lake_identity import Identity
    from finance_storage.offset_set import Mask, Offsets64, OffsetSet
    from finance_verify.data_files import FileRows

MAX_SOURCES = 1000
OFFSET_BYTES = 1 << 30
SEQUENCE_BYTES = 1 << 28


class _Partition:
    """The day's records of one Kafka partition."""

    def __init__(self, room: Room) -> None:
        self.offsets = NumberSet(room)
        self.first, self.end = 2**63 - 1, 0
        self.ticks = self.quarantined = self.elsewhere = self.doubled = self.digest = 0

    def add(self, offsets: Offsets64) -> None:
        self.doubled += offsets.size - self.offsets.add(offsets)
        self.first, self.end = min(self.first, int(offsets.min())), max(self.end, int(offsets.max()) + 1)

    def add_elsewhere(self, offsets: Offsets64) -> None:
        self.elsewhere += self.offsets.add(offsets[(offsets >= self.first) & (offsets < self.end)])

    def lost(self, losses: OffsetSet) -> list[OffsetRange]:
        """Return the parts of known losses that are in the range of the day."""
        return offset_set.common({0: [OffsetRange(self.first, self.end)]}, losses).get(0, [])

    def seal(self, losses: list[OffsetRange], *, is_exact: bool) -> PartitionSeal:
        span, gone = OffsetRange(self.first, self.end), self.lost({0: losses})
        lost = sum(part.count for part in gone)
        missing = max(0, span.count - self.offsets.count - lost) if is_exact else 0
        ranges = offset_set.minus({0: self.offsets.absent(span)}, {0: gone}).get(0, []) if missing else []
        counted = {name: getattr(self, name) for name in ("first", "end", "ticks", "quarantined", "elsewhere")}
        return PartitionSeal(
            **counted,
            digest=digest.to_text(self.digest),
            lost=lost,
            missing=missing,
            missing_ranges=ranges,
            doubled=self.doubled * is_exact,
        )


class _Source:
    """The day's numbered ticks of one source."""

    def __init__(self, room: Room) -> None:
        self._numbers = NumberSet(room)
        self._first, self._last, self._ticks = 2**63 - 1, 0, 0

    def add(self, numbers: Offsets64) -> None:
        self._ticks += numbers.size
        self._numbers.add(numbers)
        self._first, self._last = min(self._first, int(numbers.min())), max(self._last, int(numbers.max()))

    def clear(self) -> int:
        """Forget the numbers; return how many ticks there were."""
        self._numbers.clear()
        return self._ticks

    def seal(self, *, is_exact: bool) -> SourceSeal:
        if not is_exact:
            return SourceSeal(self._ticks, self._first, self._last, None, None)
        distinct = self._numbers.count
        missing = self._last + 1 - self._first - distinct
        return SourceSeal(self._ticks, self._first, self._last, missing, self._ticks - distinct)


class Day:
    """Counts the records of one day. Add all ticks and quarantined records of the day before those of other days."""

    def __init__(self, day: date, identity: Identity, version: int) -> None:
        """Start without records, for a lake with this identity, whose ticks are at `version`."""
        self.date = day
        self._identity = identity
        self._version = version
        self._files: list[FileSeal] = []
        self._room, self._numbers = Room(OFFSET_BYTES), Room(SEQUENCE_BYTES)
        self._partitions: dict[int, _Partition] = {}
        self._sources: dict[str, _Source] = {}
        self._unlisted = 0
        self._quarantined: Counter[str] = Counter()
        self._excused = identity.excused_spans

    def add_ticks(self, rows: FileRows) -> None:
        """Add ticks of the day."""
        words = digest.row_digests(rows.batch)
        for number, mask in _by_value(rows.partitions):
            partition = self._partition(number)
            partition.add(rows.offsets[mask])
            partition.ticks += int(mask.sum())
            partition.digest = digest.add([partition.digest, int(words[mask].sum(dtype=np.uint64))])
        self._add_numbers(rows)

    def add_file(self, file: FileSeal) -> None:
        """Add a data file of the day, whose ticks were added."""
        self._files.append(file)

    def add_quarantined(self, rows: FileRows, mask: Mask) -> None:
        """Add those of these quarantined records that arrived on the day."""
        reasons: pa.Array = rows.batch.column("reason").filter(mask)
        self._quarantined.update({str(entry["values"]): entry["counts"] for entry in pc.value_counts(reasons).to_pylist()})
        for number, here in _by_value(rows.partitions[mask]):
            partition = self._partition(number)
            partition.add(rows.offsets[mask][here])
            partition.quarantined += int(here.sum())

    def add_elsewhere(self, rows: FileRows) -> None:
        """Note the offsets of records of other days, where they are in the range of this one."""
        for number, mask in _by_value(rows.partitions):
            if number in self._partitions:
                self._partitions[number].add_elsewhere(rows.offsets[mask])

    def missing(self) -> OffsetSet:
        """Return the ranges of partitions in which offsets are missing so far."""
        sealed = self._sealed()
        return {number: [OffsetRange(seal.first, seal.end)] for number, seal in sealed.items() if seal.missing}

    def manifest(self, sealed_at: datetime, holes: int) -> Manifest:
        """Return the manifest, without a revision. The commits to ticks have counted `holes` offsets without a record."""
        partitions = self._sealed()
        faults = list(_faults(partitions, holes))
        if self._room.exceeded:
            faults.append("there are too many offsets to count")
        return Manifest(
            format=FORMAT,
            lake=self._identity.lake,
            topic=self._identity.topic,
            date=self.date,
            revision=0,
            sealed_at=sealed_at,
            version=self._version,
            rows=sum(partition.ticks for partition in partitions.values()),
            complete=not faults,
            verdict="; ".join(faults) or _complete(partitions),
            partitions=partitions,
            files=sorted(self._files, key=lambda file: file.name),
            sources={name: self._sources[name].seal(is_exact=not self._numbers.exceeded) for name in sorted(self._sources)},
            unlisted=self._unlisted,
            quarantined=dict(sorted(self._quarantined.items())),
        )

    def _partition(self, number: int) -> _Partition:
        return self._partitions.setdefault(number, _Partition(self._room))

    def _sealed(self) -> dict[int, PartitionSeal]:
        losses = self._identity.lost_spans
        is_exact = not self._room.exceeded
        partitions = sorted(self._partitions.items())
        return {number: partition.seal(losses.get(number, []), is_exact=is_exact) for number, partition in partitions}

    def _add_numbers(self, rows: FileRows) -> None:
        sources = rows.batch.column("source").dictionary_encode()
        indices = pc.fill_null(sources.indices, -1).to_numpy()
        numbers = pc.fill_null(rows.batch.column("seq"), -1).to_numpy()
        counts = (numbers >= 0) & (indices >= 0)
        if self._excused:
            counts &= ~inside(self._excused, rows.partitions, rows.offsets)
        names = sources.dictionary.to_pylist()
        for index, mask in _by_value(np.where(counts, indices, -1)):
            source = self._source(names[index]) if index >= 0 else None
            if source:
                source.add(numbers[mask])
            else:
                self._unlisted += int(mask.sum())

    def _source(self, name: str) -> _Source | None:
        """Return a source, if it is among the first `MAX_SOURCES` by name, whatever the order of the files."""
        if name not in self._sources:
            self._sources[name] = _Source(self._numbers)
            if len(self._sources) > MAX_SOURCES:
                self._unlisted += self._sources.pop(max(self._sources)).clear()
        return self._sources.get(name)


def _by_value(values: Offsets64) -> Iterator[tuple[int, Mask]]:
    for value in np.unique(values).tolist():
        yield value, values == value


def _faults(partitions: Mapping[int, PartitionSeal], holes: int) -> Iterator[str]:
    missing = {number: seal.missing_ranges for number, seal in partitions.items() if seal.missing}
    count = sum(seal.missing for seal in partitions.values())
    if count > holes:
        yield f"{count:,} offsets are in neither table ({offset_set.text(missing)})"
    if doubled := sum(seal.doubled for seal in partitions.values()):
        yield f"{doubled:,} rows have an offset that occurs more than once"


def _complete(partitions: Mapping[int, PartitionSeal]) -> str:
    holes = sum(seal.missing for seal in partitions.values())
    return f"complete; Kafka has no record for {holes:,} of the offsets" if holes else "complete"
