"""Manifests of sealed days: what the ticks of one date of arrival are, in a file that proves a copy of them.

`data/seals/<date>/<revision>.json` is written once and never changed. A day is sealed if the newest commit to ticks says so
(`finalized_until`), and then its newest manifest counts. A manifest of a later day is not confirmed: the job was killed before
its commit, or a redrive or recovery has opened the day again. docs/SEALS.md describes the fields.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec

from finance_kafka.offsets import Count, OffsetRange, Partition  # noqa: TC001 (msgspec reads the annotations)
from finance_storage import place
from finance_storage.commit_metadata import Digest  # noqa: TC001 (likewise)
from finance_storage.errors import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from finance_storage.paths import LakePaths, P

FORMAT = 1
_NAME = re.compile(r"([1-9][0-9]{0,8})\.json")


class PartitionSeal(msgspec.Struct, frozen=True):
    """The records of one Kafka partition that arrived on a day.

    The day's records have offsets in `[first, end)`, and `end - first` is the sum of `ticks`, `quarantined`, `elsewhere`,
    `lost` and `missing`, unless offsets occur twice.

    Attributes:
        first, end: range of the day's offsets, end exclusive
        ticks: number of ticks
        digest: of these ticks (finance_storage.digest)
        quarantined: number of the day's quarantined records
        elsewhere: number of offsets in the range whose records are of another day, because the broker's clock has jumped
        lost: number of offsets in the range that are known to be lost
        missing: number of offsets in the range that neither table has
        missing_ranges: the first of them
        doubled: number of ticks and quarantined records whose offset occurs more than once

    """

    first: Count
    end: Count
    ticks: Count
    digest: Digest
    quarantined: Count = 0
    elsewhere: Count = 0
    lost: Count = 0
    missing: Count = 0
    missing_ranges: list[OffsetRange] = []
    doubled: Count = 0


class SourceSeal(msgspec.Struct, frozen=True):
    """The numbered ticks of one source on a day.

    Attributes:
        ticks: how many
        first, last: smallest and largest sequence number
        missing: how many numbers between them no tick of the day has; None if they are too far apart to count
        doubled: number of ticks whose number occurs more than once; None likewise

    """

    ticks: Count
    first: Count
    last: Count
    missing: Count | None
    doubled: Count | None


class FileSeal(msgspec.Struct, frozen=True):
    """A data file that held ticks of the day when it was sealed, by its name in the date's folder."""

    name: str
    rows: Count
    bytes: Count
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """The manifest of one sealed day.

    Attributes:
        format: version of this format
        lake, topic: id of the lake, and its topic
        date: UTC date of arrival
        revision: 1 for the first; a day that changed after it was sealed gets the next one
        sealed_at: when the manifest was written, UTC
        version: version of the table of ticks that was read
        rows: number of ticks
        complete: whether all records of the day are accounted for
        verdict: a sentence: `complete`, or what is missing
        partitions: by Kafka partition
        files: the data files at that version; maintenance replaces them by others with the same rows
        sources: numbered ticks by source, of the first 1000 sources by name
        unlisted: number of ticks that `sources` does not count: without a number, or of further sources
        quarantined: number of the day's quarantined records by reason
        checksum: SHA-256 of the manifest with an empty checksum (`_checksum`)

    """

    format: int
    lake: str
    topic: str
    date: date
    revision: Count
    sealed_at: datetime
    version: Count
    rows: Count
    complete: bool
    verdict: str
    partitions: dict[Partition, PartitionSeal]
    files: list[FileSeal]
    sources: dict[str, SourceSeal]
    unlisted: Count
    quarantined: dict[str, Count]
    checksum: str = ""

    def says_the_same(self, other: Manifest) -> bool:
        """Whether both describe the same records, whenever they were sealed and in whatever files they are."""
        return self._content() == other._content()

    def _content(self) -> Manifest:
        return msgspec.structs.replace(self, revision=0, sealed_at=None, version=0, files=[], checksum="")


def manifest_file(paths: LakePaths[P], day: date, revision: int) -> P:
    """Return the path of a manifest."""
    return cast("P", paths.seals / day.isoformat() / f"{revision}.json")


def revisions(paths: LakePaths, day: date) -> list[int]:
    """Return the revisions of a day that have a manifest, ascending. Raises IrregularError."""
    try:
        names = place.listed(paths.root, paths.seals / day.isoformat())
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for name in names if (match := _NAME.fullmatch(name)))


def read(paths: LakePaths, day: date, revision: int) -> Manifest:
    """Read a manifest. Raises UnreadableError if it does not exist or is not valid."""
    path = manifest_file(paths, day, revision)
    try:
        content = place.read(paths.root, path)
        manifest, checksum = msgspec.json.decode(content, type=Manifest), _checksum(msgspec.json.decode(content))
    except FileNotFoundError:
        raise UnreadableError(f"{path} does not exist, but {day} is sealed: restore it from a copy.") from None
    except (OSError, msgspec.MsgspecError, RecursionError) as error:
        raise UnreadableError(f"The manifest {path} cannot be read ({error}): restore it from a copy.") from None
    if (manifest.date, manifest.revision, manifest.checksum) != (day, revision, checksum):
        raise UnreadableError(f"The manifest {path} is damaged, or that of another day or revision: restore it from a copy.")
    return manifest


def publish(paths: LakePaths, manifest: Manifest) -> None:
    """Write a manifest, whole or not at all. Raises FileExistsError if there is one of this revision, and IrregularError."""
    members = msgspec.to_builtins(manifest, str_keys=True)
    content = msgspec.json.format(msgspec.json.encode(members | {"checksum": _checksum(members)}), indent=1) + b"\n"
    place.write_whole(paths.root, manifest_file(paths, manifest.date, manifest.revision), content, replace=False)


def sealed(paths: LakePaths, until: date | None, only: date | None = None) -> Iterator[Manifest]:
    """Yield the newest manifest of each sealed day, the earliest first, or of `only` one.

    `until` is the `finalized_until` of ticks. Raises UnreadableError, IrregularError.
    """
    for day in [only] if only else _days(paths):
        if until is not None and day < until and (known := revisions(paths, day)):
            yield read(paths, day, known[-1])


def _checksum(members: dict[str, Any]) -> str:
    """Return the SHA-256 of the members as JSON, sorted by name, as `json.dumps` writes it; the checksum itself is empty."""
    return hashlib.sha256(json.dumps(members | {"checksum": ""}, sort_keys=True).encode()).hexdigest()


def _days(paths: LakePaths) -> list[date]:
    try:
        names = place.listed(paths.root, paths.seals)
    except FileNotFoundError:
        return []
    return sorted(day for name in names if (day := _day(name)))


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
